//! `giaolien audit expire`: what is past its term, and its removal.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use model::Timestamp;
use tonic::transport::Channel;
use wire::generated::admin::admin_service_client::AdminServiceClient;
use wire::generated::admin::{ExpiredSegment, ListExpiredRequest, RemoveExpiredRequest};

use crate::commands::admin::{UNKNOWN, Unanswered, runtime};
use crate::commands::say;
use crate::commands::whom::Whom;

/// Of a running gateway.
#[derive(Debug, Args)]
pub(crate) struct Expire {
    /// Removes what is listed; without it nothing is.
    #[arg(long, requires = "why")]
    remove: bool,
    /// Why it is removed; the ledger keeps it, with who removes.
    #[arg(long, value_name = "TEXT", requires = "remove")]
    why: Option<String>,
    /// Only the segments with these numbers.
    #[arg(long = "segment", value_name = "N")]
    segments: Vec<u64>,
    #[command(flatten)]
    whom: Whom,
}

impl Expire {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Self { why, segments, whom, .. } = self;
        let door = whom.door()?;
        let work = async {
            let mut client = match door.open().await? {
                Ok(client) => client,
                Err(unanswered) => return anyhow::Ok(Err(unanswered)),
            };
            let due = match client.list_expired(ListExpiredRequest {}).await {
                Ok(due) => due.into_inner().segments,
                Err(status) => return Ok(Err(status.into())),
            };
            let wanted =
                |due: &ExpiredSegment| segments.is_empty() || segments.contains(&due.number);
            let due: Vec<ExpiredSegment> = due.into_iter().filter(wanted).collect();
            match why {
                None => list(&due),
                Some(why) => {
                    if let Err(unanswered) = remove(&mut client, due, why).await {
                        return Ok(Err(unanswered));
                    }
                }
            }
            Ok(Ok(()))
        };
        match runtime()?.block_on(work)? {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(Unanswered::Unknown(error)) => {
                eprintln!(
                    "error: it is not known whether the last segment was removed, list again: \
                     {error:#}"
                );
                Ok(ExitCode::from(UNKNOWN))
            }
            Err(unanswered) => Ok(unanswered.tell(&door.admin)),
        }
    }
}

fn list(due: &[ExpiredSegment]) {
    for segment in due {
        say(format_args!("due: {}", shown(segment)));
    }
    let entries: u64 = due.iter().map(|segment| segment.count).sum();
    eprintln!("{} segments with {entries} entries may be removed, see --remove", due.len());
}

async fn remove(
    client: &mut AdminServiceClient<Channel>,
    due: Vec<ExpiredSegment>,
    why: String,
) -> Result<(), Unanswered> {
    let mut removed = 0;
    for segment in due {
        let line = shown(&segment);
        let ExpiredSegment { number, root_hash, .. } = segment;
        let request = RemoveExpiredRequest { number, root_hash, why: why.clone() };
        let answer = client.remove_expired(request).await;
        let answer = answer.map_err(|status| Unanswered::from(status).after_all_was_sent())?;
        removed += 1;
        say(format_args!("removed: {line}, as entry {} says", answer.get_ref().recorded));
    }
    eprintln!("{removed} segments were removed");
    Ok(())
}

fn shown(segment: &ExpiredSegment) -> String {
    let time = Timestamp::from_micros;
    let ExpiredSegment { number, first_index, count, latest_us, keep_until_us, .. } = segment;
    format!(
        "segment {number}, {count} entries from {first_index} on, the last of {}, kept until {}",
        time(*latest_us),
        time(*keep_until_us)
    )
}
