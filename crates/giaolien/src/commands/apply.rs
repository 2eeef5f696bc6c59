//! `giaolien apply`: a configuration folder to a running gateway, all of it or nothing.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Args;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use wire::generated::admin::apply_request::{Begin, End, File as Named, Part};
use wire::generated::admin::{ApplyRequest, ApplyResponse};

use super::admin::{Door, Unanswered, runtime, shown};
use super::check::counted;
use super::say;
use crate::progress::Progress;

/// The parts of a folder that a gateway takes. `gateway.yaml` and keys stay where they are.
const FOLDERS: [&str; 4] = ["registry", "agreements", "policies", "protos"];
const ROUTES: &str = "routes.yaml";
/// Bytes of one message.
const CHUNK_BYTES: usize = 64 << 10;
/// Messages that wait to be sent.
const MESSAGES_WAITING_MAX: usize = 16;
/// Deepest folder; the gateway takes none below it.
const FOLDERS_DEEP_MAX: usize = 9;

/// Puts a configuration folder in force in a running gateway.
///
/// Sends registry/, agreements/, policies/, protos/ and routes.yaml. The gateway checks them with
/// its own gateway.yaml; only if nothing is wrong do they take the place of its files, all at once,
/// and govern the next call. Exits with 0 if they are in force (with --dry-run: if they could be),
/// 1 if something is wrong with them or the gateway declines, 2 if it could not be reached and
/// nothing has changed, 3 if the connection broke after all was sent, or the files could only be
/// put in place in part: then `giaolien status` tells whether they are in force.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  giaolien apply config --admin gw1.example.gov.vn:8444 \
    --cert operator.crt --key operator.key --ca ca.crt --dry-run")]
pub(crate) struct Apply {
    /// The configuration folder.
    dir: PathBuf,
    #[command(flatten)]
    door: Door,
    /// Only checks; nothing is put in force.
    #[arg(long)]
    dry_run: bool,
}

impl Apply {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let files = files(&self.dir)?;
        ensure!(
            !files.is_empty(),
            "`{}` holds neither registry/ nor another part of a configuration",
            self.dir.display()
        );
        match runtime()?.block_on(self.send(files))? {
            Ok(answer) => Ok(self.tell(&answer)),
            Err(unanswered) => Ok(unanswered.tell(&self.door.admin)),
        }
    }

    async fn send(&self, files: Vec<Found>) -> Result<Result<ApplyResponse, Unanswered>> {
        let mut client = match self.door.open().await? {
            Ok(client) => client,
            Err(unreached) => return Ok(Err(unreached)),
        };
        let (sender, receiver) = mpsc::channel(MESSAGES_WAITING_MAX);
        let (dir, dry_run) = (self.dir.clone(), self.dry_run);
        let reading = tokio::task::spawn_blocking(move || stream(&dir, &files, dry_run, &sender));
        let answer = client.apply(ReceiverStream::new(receiver)).await;
        // A file that could not be read ends the stream early; that is the cause then.
        let is_whole = reading.await.context("read the folder")??;
        Ok(answer.map(tonic::Response::into_inner).map_err(|status| {
            match Unanswered::from(status) {
                unanswered if is_whole && !dry_run => unanswered.after_all_was_sent(),
                unanswered => unanswered,
            }
        }))
    }

    fn tell(&self, answer: &ApplyResponse) -> ExitCode {
        if !answer.problems.is_empty() {
            answer.problems.iter().map(shown).for_each(say);
            let problems = counted(answer.problems.len(), "problem");
            eprintln!("{problems}; revision {} stays", answer.revision);
            return ExitCode::FAILURE;
        }
        let ApplyResponse { revision, agreements, policies, .. } = answer;
        let counted =
            |count: u64, kind| counted(usize::try_from(count).unwrap_or(usize::MAX), kind);
        let counts =
            format!("{}, {}", counted(*agreements, "agreement"), counted(*policies, "policy"));
        match answer.applied {
            true => say(format_args!("revision {revision} in force: {counts}")),
            false => say(format_args!("good: {counts}; revision {revision} stays")),
        }
        answer.notes.iter().for_each(|note| say(format_args!("note: {note}")));
        ExitCode::SUCCESS
    }
}

/// A file to send.
#[derive(Debug)]
struct Found {
    /// Below the folder, with `/` between names.
    name: String,
    bytes: u64,
}

/// The files of the parts that a gateway takes, sorted; hidden ones are left out.
fn files(dir: &Path) -> Result<Vec<Found>> {
    fs::read_dir(dir).with_context(|| format!("read folder `{}`", dir.display()))?;
    let mut found = Vec::new();
    let routes = dir.join(ROUTES);
    if routes.is_file() {
        found.push(Found { name: ROUTES.to_owned(), bytes: size(&routes)? });
    }
    for folder in FOLDERS.into_iter().filter(|folder| dir.join(folder).is_dir()) {
        walk(dir, folder, FOLDERS_DEEP_MAX, &mut found)?;
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn walk(dir: &Path, folder: &str, depth: usize, found: &mut Vec<Found>) -> Result<()> {
    let path = dir.join(folder);
    ensure!(depth > 0, "`{}` lies too deep", path.display());
    let read = || format!("read folder `{}`", path.display());
    for entry in fs::read_dir(&path).with_context(read)? {
        let name = entry.with_context(read)?.file_name();
        let name = name.to_str().with_context(|| {
            format!("found file name {name:?} in `{}`, expected UTF-8", path.display())
        })?;
        if name.starts_with('.') {
            continue;
        }
        let (name, path) = (format!("{folder}/{name}"), path.join(name));
        match path.is_dir() {
            true => walk(dir, &name, depth - 1, found)?,
            false => found.push(Found { name, bytes: size(&path)? }),
        }
    }
    Ok(())
}

fn size(path: &Path) -> Result<u64> {
    let metadata = fs::metadata(path).with_context(|| format!("read `{}`", path.display()))?;
    Ok(metadata.len())
}

/// Reads the files into messages, and says whether their end is among them: it may have been sent
/// then. Ends early, without an error, if nobody takes them any more. A file that cannot be read
/// leaves them without their end, so that nothing is applied.
fn stream(
    dir: &Path,
    files: &[Found],
    dry_run: bool,
    sender: &mpsc::Sender<ApplyRequest>,
) -> Result<bool> {
    let send = |part| sender.blocking_send(ApplyRequest { part: Some(part) }).is_ok();
    let mut progress = Progress::new("sending");
    let total = files.iter().map(|file| file.bytes).sum();
    let mut sent = 0;
    let mut goes_on = send(Part::Begin(Begin { dry_run }));
    for found in files {
        let path = dir.join(&found.name);
        let read = || format!("read `{}`", path.display());
        let mut file = File::open(&path).with_context(read)?;
        goes_on = goes_on && send(Part::File(Named { path: found.name.clone() }));
        while goes_on {
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            let limit = CHUNK_BYTES as u64;
            if file.by_ref().take(limit).read_to_end(&mut chunk).with_context(read)? == 0 {
                break;
            }
            sent += chunk.len() as u64;
            progress.at(sent.min(total), total);
            goes_on = send(Part::Chunk(chunk));
        }
    }
    Ok(goes_on && send(Part::End(End {})))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_parts_are_sent_and_nothing_hidden() {
        let dir = tempfile::tempdir().unwrap();
        let names = [
            "gateway.yaml",
            "pki/gateway.key",
            "registry/a/members.yaml",
            "registry/.members.yaml.swp",
            ".previous/registry/members.yaml",
            "agreements/hà-nội.yaml",
            "policies/links.yaml",
            "routes.yaml",
            "README.md",
        ];
        for name in names {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, name).unwrap();
        }
        let found = files(dir.path()).unwrap();
        let found: Vec<_> = found.iter().map(|file| (file.name.as_str(), file.bytes)).collect();
        let name = |at: usize| (names[at], names[at].len() as u64);
        assert_eq!(found, [name(5), name(6), name(2), name(7)]);
    }

    #[test]
    fn a_file_is_cut_into_chunks() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("registry")).unwrap();
        fs::write(dir.path().join("registry/a"), vec![7; CHUNK_BYTES + 1]).unwrap();
        let (sender, mut receiver) = mpsc::channel(8);
        assert!(stream(dir.path(), &files(dir.path()).unwrap(), true, &sender).unwrap());
        drop(sender);
        let mut lengths = Vec::new();
        while let Some(ApplyRequest { part: Some(part) }) = receiver.blocking_recv() {
            lengths.push(match part {
                Part::Begin(begin) => usize::from(begin.dry_run),
                Part::File(file) => file.path.len(),
                Part::Chunk(bytes) => bytes.len(),
                Part::End(_) => 0,
            });
        }
        assert_eq!(lengths, [1, "registry/a".len(), CHUNK_BYTES, 1, 0]);
    }
}
