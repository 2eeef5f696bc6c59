//! The load against small servers that count what they see, and misbehave on request.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use bytes::Bytes;
use expect_test::expect;
use load::{Identity, LoadError, Pace, Pem, Plan, Report, Tls};

use server::{Certificates, Server};

fn plan(server: &Server, method: &str) -> Plan {
    let message = Bytes::from_static(&[7; 100]);
    let mut plan = Plan::new(server.address.to_string(), format!("/t.T/{method}"), message);
    plan.connections = 2;
    plan.streams = 4;
    plan.warm_up = Duration::ZERO;
    // Long, since most of the tests end by the number of calls.
    plan.duration = Duration::from_secs(60);
    plan
}

fn open(calls_per_second: f64) -> Pace {
    Pace::Open { calls_per_second }
}

fn tls(certificates: &Certificates) -> Tls {
    Tls {
        ca: Pem::Bytes(certificates.ca.clone().into_bytes()),
        identity: Some(Identity {
            certificate: Pem::Bytes(certificates.client.clone().into_bytes()),
            key: Pem::Bytes(certificates.client_key.clone().into_bytes()),
        }),
    }
}

fn failed(report: &Report, kind: &str) -> u64 {
    report.failures.get(kind).map_or(0, |count| count.calls)
}

#[test]
fn closed_loop_counts_what_the_server_saw() {
    let server = Server::start(None);
    let mut plan = plan(&server, "Echo");
    plan.threads = 2;
    plan.calls = Some(1_000);
    plan.metadata.push(("exchange-purpose".to_owned(), "test".to_owned()));
    plan.timeout = Some(Duration::from_secs(30));
    let report = load::run(plan).unwrap();

    assert_eq!(report.calls_ok(), 1_000, "{report}");
    assert_eq!(report.calls() + report.calls_warm_up, server.calls());
    assert_eq!(report.answered_in_window, 1_000);
    assert_eq!(server.seen.timeouts.load(Relaxed), server.calls());
    assert_eq!(server.seen.purposes.load(Relaxed), server.calls());
    assert_eq!(report.body_bytes_sent, 105_000);
    assert_eq!(report.body_bytes_received, 105_000);
    assert_eq!(report.messages_received, 1_000);
    assert_eq!(report.latency.unwrap().calls, 1_000);
    assert_eq!(report.connections_opened, 2);
    assert!(report.failures.is_empty() && report.connections_lost.is_empty(), "{report}");
    assert!(report.window < Duration::from_secs(60), "ended by the number of calls");
}

#[test]
fn duration_ends_a_closed_loop_and_warm_up_is_not_measured() {
    let server = Server::start(None);
    let mut plan = plan(&server, "Echo");
    plan.warm_up = Duration::from_millis(100);
    plan.duration = Duration::from_millis(200);
    let mut phases = Vec::new();
    let report = load::run_with_progress(plan, &mut |now| phases.push(now.phase)).unwrap();
    assert!(report.calls_warm_up > 0 && report.calls() > 0, "{report}");
    assert_eq!(report.calls() + report.calls_warm_up, server.calls());
    assert_eq!(report.window, Duration::from_millis(200));
    phases.dedup();
    assert_eq!(phases.first(), Some(&load::Phase::WarmUp));
    assert!(phases.contains(&load::Phase::Window));
}

#[test]
fn mutual_tls_works_and_a_missing_certificate_is_told() {
    let certificates = Certificates::new();
    let server = Server::start(Some(certificates.server.clone()));
    let mut plan = plan(&server, "Receipt");
    plan.server_name = Some("gateway.test".to_owned());
    plan.tls = Some(tls(&certificates));
    plan.calls = Some(100);
    plan.keep_sample = true;
    let report = load::run(plan.clone()).unwrap();
    assert_eq!(report.calls_ok(), 100, "{report}");
    let sample = report.sample.unwrap();
    assert_eq!(sample.trailers.get("exchange-receipt-bin").unwrap(), "AAEC");

    plan.tls.as_mut().unwrap().identity = None;
    let error = load::run(plan.clone()).unwrap_err();
    assert!(matches!(error, LoadError::Connect { .. }), "{error}");
    assert!(error.to_string().contains("CertificateRequired"), "{error}");

    plan.tls = Some(tls(&certificates));
    plan.server_name = Some("other.test".to_owned());
    let error = load::run(plan).unwrap_err().to_string();
    assert!(error.contains("TLS handshake"), "{error}");
}

#[test]
fn streams_of_messages_are_read_to_the_end() {
    let server = Server::start(None);
    let mut plan = plan(&server, "Stream");
    plan.message = Bytes::from(vec![1; 50_000]);
    plan.calls = Some(100);
    let report = load::run(plan).unwrap();
    assert_eq!(report.calls_ok(), 100, "{report}");
    assert_eq!(report.messages_received, 1_000);
    assert_eq!(report.body_bytes_received, 1_000 * 50_005);
}

#[test]
fn open_loop_makes_every_call_of_its_schedule() {
    for spin in [false, true] {
        let server = Server::start(None);
        let mut plan = plan(&server, "Echo");
        plan.threads = 2;
        plan.pace = open(2_000.0);
        plan.spin = spin;
        plan.warm_up = Duration::from_millis(100);
        plan.duration = Duration::from_millis(500);
        let report = load::run(plan).unwrap();
        assert_eq!((report.calls_warm_up, report.calls_ok()), (200, 1_000), "{report}");
        assert_eq!(server.calls(), 1_200);
        assert_eq!(report.start_delay.unwrap().calls, 1_000);
    }
}

#[test]
fn open_loop_charges_a_stall_to_every_call_that_was_due() {
    let server = Server::start(None);
    let mut plan = plan(&server, "Stall");
    plan.pace = open(1_000.0);
    plan.duration = Duration::from_secs(1);
    let report = load::run(plan).unwrap();
    assert_eq!(report.calls_ok(), 1_000, "{report}");
    // Of 1,000 calls 200 fell due in the 200 ms, and waited for the rest of them: a tenth of all
    // waited for 100 ms or more. With 8 streams, only 8 were on their way.
    let latency = report.latency.unwrap();
    assert!(latency.us_p90 > 50e3, "{report}");
    assert!(latency.us_p99 > 150e3, "{report}");
    assert!(report.calls_deferred > 100, "{report}");
}

#[test]
fn open_loop_beyond_capacity_counts_the_calls_it_never_started() {
    let server = Server::start(None);
    let mut plan = plan(&server, "Slow");
    plan.connections = 1;
    plan.streams = 2;
    plan.pace = open(1_000.0);
    plan.duration = Duration::from_millis(500);
    plan.drain = Duration::from_millis(100);
    let report = load::run(plan).unwrap();
    // Two streams of 20 ms each make at most 100 calls a second.
    assert_eq!(report.calls(), 500, "{report}");
    assert!(failed(&report, "never started") > 300, "{report}");
    assert!(report.latency.unwrap().us_p99 > 300e3, "{report}");
}

#[test]
fn statuses_are_counted_with_an_example() {
    let server = Server::start(None);
    let mut plan = plan(&server, "Deny");
    plan.calls = Some(100);
    let report = load::run(plan).unwrap();
    let denied = report.statuses.get(&7).unwrap();
    assert_eq!((denied.calls, denied.example.as_deref()), (100, Some("no purpose")));
    assert_eq!((report.calls(), report.calls_ok()), (100, 0));
    assert!(report.latency_ok.is_none() && report.latency.is_some());
}

#[test]
fn resets_and_foreign_answers_are_failures_on_a_living_connection() {
    let server = Server::start(None);
    for (method, kind) in
        [("Reset", "stream reset by the server: CANCEL"), ("Unknown", "HTTP status 404")]
    {
        let mut plan = plan(&server, method);
        plan.calls = Some(100);
        let report = load::run(plan).unwrap();
        assert_eq!(failed(&report, kind), 100, "{report}");
        assert_eq!(report.connections_opened, 2);
    }
}

#[test]
fn lost_connections_are_counted_and_made_again() {
    let server = Server::start(None);
    for pace in [Pace::Closed, open(5_000.0)] {
        let mut plan = plan(&server, "Cut");
        plan.pace = pace;
        plan.calls = Some(500);
        let report = load::run(plan).unwrap();
        let lost: u64 = report.connections_lost.values().sum();
        assert_eq!(report.calls(), 500, "{report}");
        assert!(lost >= 9, "{report}");
        assert!(report.calls_ok() >= 350, "{report}");
        assert!(report.connections_opened >= lost, "{report}");
        assert!(!report.failures.is_empty(), "{report}");
    }
}

#[test]
fn a_server_that_stays_away_ends_the_load() {
    let server = Server::start(None);
    let mut plan = plan(&server, "Echo");
    plan.pace = open(100.0);
    plan.connections = 1;
    let stop = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        drop(server);
    });
    let report = load::run(plan).unwrap();
    stop.join().unwrap();
    assert_eq!(report.connections_abandoned, 1, "{report}");
    assert!(!report.connects_failed.is_empty(), "{report}");
    assert!(failed(&report, "never started") > 0, "{report}");
    assert!(report.window < Duration::from_secs(60));
}

#[test]
fn silent_servers_are_not_waited_for() {
    let server = Server::start(None);
    let mut plan = plan(&server, "Hang");
    plan.duration = Duration::from_millis(200);
    plan.drain = Duration::from_millis(100);
    let report = load::run(plan.clone()).unwrap();
    assert_eq!(failed(&report, "unfinished after the drain"), 8, "{report}");
    assert!(report.latency.unwrap().us_p50 > 200e3, "{report}");

    plan.timeout = Some(Duration::from_millis(10));
    plan.calls = Some(8);
    plan.duration = Duration::from_secs(60);
    let report = load::run(plan).unwrap();
    assert_eq!(failed(&report, "no answer in time"), 8, "{report}");
}

#[test]
fn nothing_listening_is_an_error_that_names_the_address() {
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let began = Instant::now();
    let error = load::run(Plan::new(address.clone(), "/t.T/Echo", Bytes::new())).unwrap_err();
    let expected = format!("no connection to `{address}`: connect: Connection refused");
    assert!(error.to_string().starts_with(&expected), "{error}");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn json_keys_stay() {
    let server = Server::start(None);
    let mut plan = plan(&server, "Deny");
    plan.calls = Some(10);
    let json = load::run(plan).unwrap().to_json();
    // Their order is not promised: other crates switch on that `serde_json` keeps it.
    let keys = |value: &serde_json::Value| -> Vec<String> {
        let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    };
    let mut text = keys(&json).join("\n");
    for list in ["statuses", "processes"] {
        let first = json.get(list).unwrap().get(0).unwrap();
        text += &format!("\n{list}: {}", keys(first).join(" "));
    }
    expect![[r#"
        address
        body_bytes_received
        body_bytes_sent
        calls
        calls_answered_in_window
        calls_deferred
        calls_max
        calls_ok
        calls_ok_in_window
        calls_ok_per_second
        calls_per_second
        calls_warm_up
        client_certificate
        connections
        connections_abandoned
        connections_lost
        connections_opened
        connects_failed
        duration_s
        failures
        latency_ok_us_max
        latency_ok_us_mean
        latency_ok_us_min
        latency_ok_us_p50
        latency_ok_us_p90
        latency_ok_us_p99
        latency_ok_us_p99_9
        latency_us_max
        latency_us_mean
        latency_us_min
        latency_us_p50
        latency_us_p90
        latency_us_p99
        latency_us_p99_9
        machine_cores
        machine_cpu_model
        message_bytes
        messages_received
        method
        mode
        processes
        rate_per_second
        sample
        server_name
        spin
        start_delay_us_max
        start_delay_us_mean
        start_delay_us_min
        start_delay_us_p50
        start_delay_us_p90
        start_delay_us_p99
        start_delay_us_p99_9
        statuses
        streams_per_connection
        threads
        timeout_ms
        tls
        warm_up_s
        window_s
        statuses: calls code example name
        processes: cpu_ms cpu_resolution cpu_us_per_call error label memory_bytes_peak pid"#]]
    .assert_eq(&text);
}

#[test]
fn text_is_short_and_says_what_was_done() {
    let server = Server::start(None);
    let mut plan = plan(&server, "Deny");
    plan.pace = open(1_000.0);
    plan.calls = Some(10);
    let report = load::run(plan).unwrap();
    let text = report.to_text();
    let labels: Vec<_> = text.lines().map(|line| line.split(' ').next().unwrap()).collect();
    assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
    for label in ["calls", "status", "bytes", "latency", "start", "connected", "cpu"] {
        assert!(labels.contains(&label), "no `{label}` in:\n{text}");
    }
    assert!(text.contains("open loop at 1,000/s, 2 connections × 4 streams, 1 thread"), "{text}");
    assert!(text.contains("PERMISSION_DENIED 10, such as: no purpose"), "{text}");
}
