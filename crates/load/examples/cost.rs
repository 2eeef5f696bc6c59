//! What the load itself costs, against an echo server in a process of its own.
//!
//! `cargo run --release -p load --example cost -- [plain|tls] [closed|RATE] [seconds] [spin]`

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a yardstick for developers")]

#[path = "../tests/server/mod.rs"]
mod server;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use bytes::Bytes;
use load::{Identity, Pace, Pem, Plan, Tls, Watched};

use server::{Certificates, Server};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let transport = arguments.next().unwrap_or_else(|| "tls".to_owned());
    if transport == "serve" {
        return serve(&arguments.next().unwrap());
    }
    let pace = match arguments.next().as_deref() {
        None | Some("closed") => Pace::Closed,
        Some(rate) => Pace::Open { calls_per_second: rate.parse().unwrap() },
    };
    let seconds = arguments.next().map_or(5, |seconds| seconds.parse().unwrap());

    let spin = arguments.next().is_some();

    let (mut child, said) = child(&transport);
    let mut plan = Plan::new(said.first().unwrap(), "/t.T/Echo", Bytes::from(vec![7; 100]));
    if let [_, ca, certificate, key] = said.as_slice() {
        let pem = |text: &String| Pem::Bytes(text.replace('|', "\n").into_bytes());
        let identity = Some(Identity { certificate: pem(certificate), key: pem(key) });
        plan.tls = Some(Tls { ca: pem(ca), identity });
        plan.server_name = Some("gateway.test".to_owned());
    }
    plan.pace = pace;
    plan.spin = spin;
    plan.duration = Duration::from_secs(seconds);
    plan.watch.push(Watched { label: "echo".to_owned(), pid: child.id() });
    let report = load::run(plan);
    child.kill().unwrap();
    child.wait().unwrap();
    println!("{}", report.unwrap());
}

/// Tells its address and the client's PEM texts on one line, and serves till it is killed.
fn serve(transport: &str) {
    let certificates = (transport == "tls").then(Certificates::new);
    let server = Server::start(certificates.as_ref().map(|made| made.server.clone()));
    let mut line = server.address.to_string();
    if let Some(made) = certificates {
        for pem in [made.ca, made.client, made.client_key] {
            line = format!("{line}\t{}", pem.lines().collect::<Vec<_>>().join("|"));
        }
    }
    println!("{line}");
    server.wait();
}

fn child(transport: &str) -> (Child, Vec<String>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["serve", transport])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (child, line.trim().split('\t').map(str::to_owned).collect())
}
