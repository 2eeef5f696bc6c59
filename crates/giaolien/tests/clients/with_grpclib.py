"""Calls through the gateway with grpclib, gRPC in pure Python over asyncio."""

import asyncio
import ssl

from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpclib.client import Channel
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError

from common import CALL_SECONDS_MAX, MIB, VIETNAMESE, check, equal, main, noise
from testkit.echo.v1.echo_grpc import EchoServiceStub
from testkit.echo.v1.echo_pb2 import EchoRequest


async def unary(stub, setting):
    answer, stream = await ask(stub.Unary, EchoRequest(payload=VIETNAMESE.encode()))
    equal(answer.payload.decode(), VIETNAMESE)
    equal(stream.initial_metadata["echo-head"], "yes")
    check(len(stream.initial_metadata["exchange-id"]) > 20, stream.initial_metadata)
    keep_receipt(setting, "unary", 0, stream)


async def server_stream(stub, setting):
    async with stub.ServerStream.open(timeout=CALL_SECONDS_MAX) as stream:
        await stream.send_message(EchoRequest(payload=b"x", count=100), end=True)
        equal([answer.index async for answer in stream], list(range(100)))
    keep_receipt(setting, "server_stream", 0, stream)


async def client_stream(stub, setting):
    async with stub.ClientStream.open(timeout=CALL_SECONDS_MAX) as stream:
        for _ in range(50):
            await stream.send_message(EchoRequest(payload=b"x" * 1000))
        await stream.end()
        answer = await stream.recv_message()
    equal((answer.index, answer.received_bytes), (50, 50_000))
    keep_receipt(setting, "client_stream", 0, stream)


async def bidi_stream(stub, setting):
    """Each answer is read before the next request is sent."""
    async with stub.BidiStream.open(timeout=CALL_SECONDS_MAX) as stream:
        for turn in range(10):
            await stream.send_message(EchoRequest(payload=bytes([turn])))
            equal((await stream.recv_message()).payload, bytes([turn]))
        await stream.end()
        equal(await stream.recv_message(), None)
    keep_receipt(setting, "bidi_stream", 0, stream)


async def deadline_of_client(stub, setting):
    try:
        await stub.Unary(EchoRequest(delay_ms=60_000), timeout=0.3)
    except asyncio.TimeoutError:
        return  # It watches the time itself,
    except GRPCError as error:
        return equal(error.status, Status.DEADLINE_EXCEEDED)  # or the gateway was faster.
    raise AssertionError("answered")


async def deadline_of_gateway(stub, setting):
    """The route allows less than this client, which sets no deadline at all."""
    error, stream = await failure(stub.ServerStream, EchoRequest(delay_ms=60_000), timeout=None)
    equal(error.status, Status.DEADLINE_EXCEEDED)
    equal(error_info(error).reason, "DEADLINE_EXCEEDED")
    keep_receipt(setting, "deadline_of_gateway", 0, stream)


async def cancel(stub, setting):
    async with stub.ServerStream.open(timeout=CALL_SECONDS_MAX) as stream:
        await stream.send_message(EchoRequest(delay_ms=1), end=True)
        equal([(await stream.recv_message()).index for _ in range(3)], [0, 1, 2])
        await stream.cancel()


async def metadata_to_node(stub, setting):
    """The node hears from the gateway who calls, and the rest as it was said."""
    metadata = {
        "exchange-purpose": "residence",
        "exchange-dossier": "H26-2611-0042",
        "exchange-system": "somebody-else",
        "exchange-id": "mine",
        "authorization": "Bearer secret",
        "x-own": "one two",
    }
    answer, stream = await ask(stub.Unary, EchoRequest(), metadata=metadata)
    seen = answer.metadata
    equal(seen["exchange-system"], "commune")
    equal(seen["exchange-member"], "H26.12")
    equal(seen["exchange-agreement"], "echo-for-H26")
    equal(seen["exchange-purpose"], "residence")
    equal(seen["exchange-dossier"], "H26-2611-0042")
    equal(seen["exchange-id"], stream.initial_metadata["exchange-id"])
    equal(seen["x-own"], "one two")
    check("authorization" not in seen, "the token is not for the node")
    check(seen["grpc-timeout"], "the node is told how long the caller waits")


async def metadata_there_and_back(stub, setting):
    """Against a node that gives back what comes under names with `x-`."""
    sent = [("x-text", "v"), ("x-many", "1"), ("x-many", "2"), ("x-blob-bin", bytes(range(256)))]
    _, stream = await ask(stub.Unary, EchoRequest(), metadata=sent)
    head = stream.initial_metadata
    back = [(key, value) for key, value in head.items() if key.startswith("x-")]
    equal(sorted(back, key=repr), sorted(sent, key=repr))


async def refusal(stub, setting):
    error, stream = await failure(stub.Unregistered, EchoRequest())
    equal(error.status, Status.UNIMPLEMENTED)
    equal(error_info(error).reason, "METHOD_UNKNOWN")
    messages = details(error, error_details_pb2.LocalizedMessage)
    told = {message.locale: message.message for message in messages}
    equal(sorted(told), ["en", "vi"])
    equal(error.message, told["en"])
    check("phương thức" in told["vi"], told["vi"])
    keep_receipt(setting, "refusal", 0, stream)


async def status_of_node(stub, setting):
    """A status with details that the node gives arrives as it is."""
    status = status_pb2.Status(code=code_pb2.FAILED_PRECONDITION, message=VIETNAMESE)
    own = error_details_pb2.ErrorInfo(reason="CLOSED", domain="echo.example", metadata={"a": "b"})
    status.details.add().Pack(own)
    request = EchoRequest(
        fail_code=status.code, fail_message=VIETNAMESE, fail_details=status.SerializeToString()
    )
    error, stream = await failure(stub.Unary, request)
    equal((error.status, error.message), (Status.FAILED_PRECONDITION, VIETNAMESE))
    equal(error.details, [own])
    keep_receipt(setting, "status_of_node", 0, stream)


async def large_message(stub, setting):
    payload = noise(8 * MIB)
    answer, stream = await ask(stub.Unary, EchoRequest(payload=payload))
    check(answer.payload == payload, "the answer is not what was sent")
    keep_receipt(setting, "large_message", 0, stream)


async def concurrent(stub, setting):
    """Each call waits at the node, so that all are under way at once on one channel."""
    calls = (ask(stub.Unary, EchoRequest(delay_ms=200)) for _ in range(200))
    answered = await asyncio.gather(*calls)
    for number, (_, stream) in enumerate(answered):
        keep_receipt(setting, "concurrent", number, stream)
    equal(len({stream.initial_metadata["exchange-id"] for _, stream in answered}), 200)


async def ask(method, request, timeout=CALL_SECONDS_MAX, metadata=None):
    """Calls a unary method; returns its answer, and the stream for its metadata."""
    async with method.open(timeout=timeout, metadata=metadata) as stream:
        await stream.send_message(request, end=True)
        answer = await stream.recv_message()
    return answer, stream


async def failure(method, request, timeout=CALL_SECONDS_MAX):
    stream = method.open(timeout=timeout)
    try:
        async with stream:
            await stream.send_message(request, end=True)
            answer = await stream.recv_message()
    except GRPCError as error:
        return error, stream
    except StreamTerminatedError as error:
        raise AssertionError("the stream was cut without a status") from error
    raise AssertionError(f"answered {answer!r:.300}")


def details(error, kind):
    return [detail for detail in error.details if isinstance(detail, kind)]


def error_info(error):
    (info,) = details(error, error_details_pb2.ErrorInfo)
    equal(info.domain, "giaolien")
    return info


def keep_receipt(setting, case, number, stream):
    """In a call that was declined at once, headers are trailers."""
    trailers = stream.trailing_metadata or stream.initial_metadata
    setting.keep(case, number, trailers.get("exchange-receipt-bin"))


def run(case, setting):
    asyncio.run(run_case(case, setting))


async def run_case(case, setting):
    tls = ssl.create_default_context(cafile=setting.pki / "ca.crt")
    # From Python 3.13 on these are the defaults.
    tls.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN
    tls.load_cert_chain(setting.pki / "commune.crt", setting.pki / "commune.key")
    tls.set_alpn_protocols(["h2"])
    host, port = setting.address.split(":")
    async with Channel(host, int(port), ssl=tls) as channel:
        await case(EchoServiceStub(channel), setting)


CASES = [
    unary,
    server_stream,
    client_stream,
    bidi_stream,
    deadline_of_client,
    deadline_of_gateway,
    cancel,
    metadata_to_node,
    metadata_there_and_back,
    refusal,
    status_of_node,
    large_message,
    concurrent,
]

if __name__ == "__main__":
    main({case.__name__: case for case in CASES}, run)
