//! However much goes through a call, the gateway holds little of it: streams and single messages
//! far larger than its memory may become.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails may panic")]
#![allow(clippy::panic, clippy::indexing_slicing, reason = "a test that fails may panic")]
#![allow(clippy::print_stdout, reason = "tests tell what they measured")]

mod support;

use model::{Entry, Finished};
use support::{Gateway, World, until, within};
use testkit::echo::pb::echo_service_client::EchoServiceClient;
use testkit::echo::pb::{EchoRequest, EchoResponse};
use tokio::sync::{Mutex, MutexGuard, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::Channel;

/// What the gateway may ever hold, everything counted.
const PEAK_BYTES_MAX: u64 = 64 << 20;
const STREAM_BYTES: u64 = 256 << 20;
const MESSAGE_BYTES: u32 = 1 << 20;
const SINGLE_MESSAGE_BYTES: u32 = 32 << 20;

/// A gateway whose memory is watched, and a client that takes messages of any size.
struct Watched {
    world: World,
    gateway: Gateway,
    client: EchoServiceClient<Channel>,
    _alone: MutexGuard<'static, ()>,
}

impl Watched {
    async fn start() -> Self {
        // One after another: side by side they would only take longer.
        static ALONE: Mutex<()> = Mutex::const_new(());
        let _alone = ALONE.lock().await;
        let world = World::new().await;
        let gateway = world.start();
        let client = world.client(&gateway).await;
        let client = client.max_decoding_message_size(usize::MAX);
        let client = client.max_encoding_message_size(usize::MAX);
        Self { world, gateway, client, _alone }
    }

    fn check_peak(&self) {
        let memory = self.gateway.memory();
        assert!(memory.peak_bytes < PEAK_BYTES_MAX, "{memory:?}");
    }

    /// Waits until the gateway's memory stands still: nothing more comes in.
    async fn until_still(&self) {
        const LOOKS: u32 = 20;
        let (mut before, mut same) = (0, 0);
        until("the gateway's memory stands still", || {
            let now = self.gateway.memory().now_bytes;
            same = if now == before { same + 1 } else { 0 };
            before = now;
            same >= LOOKS
        })
        .await;
    }

    /// Stops everything and returns what the ledger says of the one call.
    fn end(self) -> Finished {
        self.check_peak();
        println!("peak {} MiB", self.gateway.memory().peak_bytes >> 20);
        drop(self.client);
        self.gateway.stop();
        let entries = self.world.ledger().entries;
        let Some(Entry::Finished(call)) = entries.last() else { panic!("{entries:?}") };
        assert_eq!(call.code, model::Code::Ok);
        call.clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_stream_of_answers() {
    let mut watched = Watched::start().await;
    let messages = u32::try_from(STREAM_BYTES).unwrap() / MESSAGE_BYTES;
    let request =
        EchoRequest { count: messages, payload_size: MESSAGE_BYTES, ..EchoRequest::default() };
    let mut answers = within(watched.client.server_stream(request)).await.unwrap().into_inner();
    assert_eq!(read(&mut answers, u64::MAX).await, STREAM_BYTES);
    let call = watched.end();
    assert_eq!(call.response.messages, u64::from(messages));
    assert!(call.response.bytes > STREAM_BYTES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_stream_of_requests() {
    let mut watched = Watched::start().await;
    let (send, receive) = mpsc::channel(1);
    tokio::spawn(async move {
        for _ in 0..STREAM_BYTES / u64::from(MESSAGE_BYTES) {
            let payload = vec![7; MESSAGE_BYTES as usize];
            send.send(EchoRequest { payload, ..EchoRequest::default() }).await.unwrap();
        }
    });
    let answer = within(watched.client.client_stream(ReceiverStream::new(receive))).await.unwrap();
    assert_eq!(answer.into_inner().received_bytes, STREAM_BYTES);
    let call = watched.end();
    assert!(call.request.bytes > STREAM_BYTES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_pauses() {
    const PART_BYTES: u64 = 16 << 20;
    const PARTS: u64 = 4;
    let mut watched = Watched::start().await;
    let payload_size = 64 << 10;
    let count = u32::try_from(PART_BYTES * PARTS).unwrap() / payload_size;
    let request = EchoRequest { count, payload_size, ..EchoRequest::default() };
    let mut answers = within(watched.client.server_stream(request)).await.unwrap().into_inner();
    for _ in 0..PARTS {
        watched.until_still().await;
        watched.check_peak();
        assert_eq!(read(&mut answers, PART_BYTES).await, PART_BYTES);
    }
    assert!(within(answers.message()).await.unwrap().is_none());
    assert_eq!(watched.end().response.messages, u64::from(count));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_large_message_both_ways() {
    let mut watched = Watched::start().await;
    let payload: Vec<u8> = (0..SINGLE_MESSAGE_BYTES).map(|at| at.to_le_bytes()[1]).collect();
    let request = EchoRequest { payload: payload.clone(), ..EchoRequest::default() };
    let answer = within(watched.client.unary(request)).await.unwrap();
    assert!(answer.into_inner().payload == payload);
    let call = watched.end();
    assert!(call.request.bytes.min(call.response.bytes) > u64::from(SINGLE_MESSAGE_BYTES));
}

/// Reads messages until there are `bytes` of payload, or no more.
async fn read(answers: &mut Streaming<EchoResponse>, bytes: u64) -> u64 {
    let mut done = 0;
    while done < bytes {
        let Some(answer) = within(answers.message()).await.unwrap() else { break };
        done += answer.payload.len() as u64;
    }
    done
}
