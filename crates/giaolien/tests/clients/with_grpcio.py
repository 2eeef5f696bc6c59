"""Calls through the gateway with grpcio, the C core that most languages wrap."""

import queue

import grpc
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from common import CALL_SECONDS_MAX, MIB, VIETNAMESE, check, equal, main, noise
from testkit.echo.v1.echo_pb2 import EchoRequest
from testkit.echo.v1.echo_pb2_grpc import EchoServiceStub


def unary(stub, setting):
    answer, call = stub.Unary.with_call(
        EchoRequest(payload=VIETNAMESE.encode()), timeout=CALL_SECONDS_MAX
    )
    equal(answer.payload.decode(), VIETNAMESE)
    head = dict(call.initial_metadata())
    equal(head["echo-head"], "yes")
    check(len(head["exchange-id"]) > 20, head)
    keep_receipt(setting, "unary", 0, call)


def server_stream(stub, setting):
    call = stub.ServerStream(EchoRequest(payload=b"x", count=100), timeout=CALL_SECONDS_MAX)
    equal([answer.index for answer in call], list(range(100)))
    keep_receipt(setting, "server_stream", 0, call)


def client_stream(stub, setting):
    requests = (EchoRequest(payload=b"x" * 1000) for _ in range(50))
    answer, call = stub.ClientStream.with_call(requests, timeout=CALL_SECONDS_MAX)
    equal((answer.index, answer.received_bytes), (50, 50_000))
    keep_receipt(setting, "client_stream", 0, call)


def bidi_stream(stub, setting):
    """Each answer is read before the next request is sent."""
    requests = queue.Queue()
    call = stub.BidiStream(iter(requests.get, None), timeout=CALL_SECONDS_MAX)
    for turn in range(10):
        requests.put(EchoRequest(payload=bytes([turn])))
        equal(next(call).payload, bytes([turn]))
    requests.put(None)
    equal(list(call), [])
    keep_receipt(setting, "bidi_stream", 0, call)


def deadline_of_client(stub, setting):
    error = failure(lambda: stub.Unary(EchoRequest(delay_ms=60_000), timeout=0.3))
    equal(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)


def deadline_of_gateway(stub, setting):
    """The route allows less than this client, which sets no deadline at all."""
    error = failure(lambda: list(stub.ServerStream(EchoRequest(delay_ms=60_000))))
    equal(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
    equal(error_info(error).reason, "DEADLINE_EXCEEDED")
    keep_receipt(setting, "deadline_of_gateway", 0, error)


def cancel(stub, setting):
    call = stub.ServerStream(EchoRequest(delay_ms=1), timeout=CALL_SECONDS_MAX)
    equal([next(call).index for _ in range(3)], [0, 1, 2])
    call.cancel()
    equal(failure(lambda: list(call)).code(), grpc.StatusCode.CANCELLED)


def metadata_to_node(stub, setting):
    """The node hears from the gateway who calls, and the rest as it was said."""
    metadata = (
        ("exchange-purpose", "residence"),
        ("exchange-dossier", "H26-2611-0042"),
        ("exchange-system", "somebody-else"),
        ("exchange-id", "mine"),
        ("authorization", "Bearer secret"),
        ("x-own", "one two"),
    )
    answer, call = stub.Unary.with_call(EchoRequest(), timeout=CALL_SECONDS_MAX, metadata=metadata)
    seen = answer.metadata
    equal(seen["exchange-system"], "commune")
    equal(seen["exchange-member"], "H26.12")
    equal(seen["exchange-agreement"], "echo-for-H26")
    equal(seen["exchange-purpose"], "residence")
    equal(seen["exchange-dossier"], "H26-2611-0042")
    equal(seen["exchange-id"], dict(call.initial_metadata())["exchange-id"])
    equal(seen["x-own"], "one two")
    check("authorization" not in seen, "the token is not for the node")
    check(seen["grpc-timeout"], "the node is told how long the caller waits")


def metadata_there_and_back(stub, setting):
    """Against a node that gives back what comes under names with `x-`."""
    sent = [("x-text", "v"), ("x-many", "1"), ("x-many", "2"), ("x-blob-bin", bytes(range(256)))]
    _, call = stub.Unary.with_call(EchoRequest(), timeout=CALL_SECONDS_MAX, metadata=sent)
    back = [(key, value) for key, value in call.initial_metadata() if key.startswith("x-")]
    equal(sorted(back, key=repr), sorted(sent, key=repr))


def refusal(stub, setting):
    error = failure(lambda: stub.Unregistered(EchoRequest(), timeout=CALL_SECONDS_MAX))
    equal(error.code(), grpc.StatusCode.UNIMPLEMENTED)
    equal(error_info(error).reason, "METHOD_UNKNOWN")
    messages = details(error, error_details_pb2.LocalizedMessage)
    told = {message.locale: message.message for message in messages}
    equal(sorted(told), ["en", "vi"])
    equal(error.details(), told["en"])
    check("phương thức" in told["vi"], told["vi"])
    keep_receipt(setting, "refusal", 0, error)


def status_of_node(stub, setting):
    """A status with details that the node gives arrives as it is."""
    status = status_pb2.Status(code=code_pb2.FAILED_PRECONDITION, message=VIETNAMESE)
    own = error_details_pb2.ErrorInfo(reason="CLOSED", domain="echo.example", metadata={"a": "b"})
    status.details.add().Pack(own)
    request = EchoRequest(
        fail_code=status.code, fail_message=VIETNAMESE, fail_details=status.SerializeToString()
    )
    streamed = EchoRequest(count=2)
    streamed.MergeFrom(request)
    for call in (lambda: stub.Unary(request), lambda: list(stub.ServerStream(streamed))):
        error = failure(call)
        equal(error.code(), grpc.StatusCode.FAILED_PRECONDITION)
        equal(error.details(), VIETNAMESE)
        equal(rpc_status.from_call(error), status)
    keep_receipt(setting, "status_of_node", 0, error)


def large_message(stub, setting):
    payload = noise(8 * MIB)
    answer, call = stub.Unary.with_call(EchoRequest(payload=payload), timeout=CALL_SECONDS_MAX)
    check(answer.payload == payload, "the answer is not what was sent")
    keep_receipt(setting, "large_message", 0, call)


def compression(stub, setting):
    payload = b"\0" * MIB
    answer, call = stub.Unary.with_call(
        EchoRequest(payload=payload), timeout=CALL_SECONDS_MAX, compression=grpc.Compression.Gzip
    )
    check(answer.payload == payload, "the answer is not what was sent")
    keep_receipt(setting, "compression", 0, call)


def concurrent(stub, setting):
    """Each call waits at the node, so that all are under way at once on one channel."""
    request = EchoRequest(delay_ms=200)
    calls = [stub.Unary.future(request, timeout=CALL_SECONDS_MAX) for _ in range(200)]
    ids = set()
    for number, call in enumerate(calls):
        call.result()
        ids.add(dict(call.initial_metadata())["exchange-id"])
        keep_receipt(setting, "concurrent", number, call)
    equal(len(ids), 200)


def failure(call):
    try:
        answer = call()
    except grpc.RpcError as error:
        return error
    raise AssertionError(f"answered {answer!r:.300}")


def details(error, kind):
    found = []
    for detail in rpc_status.from_call(error).details:
        message = kind()
        if detail.Unpack(message):
            found.append(message)
    return found


def error_info(error):
    (info,) = details(error, error_details_pb2.ErrorInfo)
    equal(info.domain, "giaolien")
    return info


def keep_receipt(setting, case, number, call):
    setting.keep(case, number, dict(call.trailing_metadata()).get("exchange-receipt-bin"))


def run(case, setting):
    credentials = grpc.ssl_channel_credentials(
        setting.pem("ca.crt"), setting.pem("commune.key"), setting.pem("commune.crt")
    )
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.secure_channel(setting.address, credentials, options) as channel:
        case(EchoServiceStub(channel), setting)


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
    compression,
    concurrent,
]

if __name__ == "__main__":
    main({case.__name__: case for case in CASES}, run)
