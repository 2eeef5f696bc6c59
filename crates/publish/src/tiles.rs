//! A ledger as C2SP tlog-tiles over HTTP: `checkpoint`, `tile/<level>/<index>` and, if that is
//! wanted, `tile/entries/<index>`.

use std::sync::Arc;
use std::time::Duration;

use audit::{ReadError, Tiles, TilesError};
use hyper::header::{ALLOW, CACHE_CONTROL, HeaderValue};
use hyper::{Method, StatusCode};
use tlog::tile::{Kind, Tile};
use tokio::net::TcpListener;

use crate::http::{self, Answer, Bounds, TEXT};

/// What a monitor that reads many tiles at once may take.
const BOUNDS: Bounds = Bounds { connections_max: 64, connection_time_max: Duration::from_secs(10) };
const CHECKPOINT: &str = "checkpoint";
const BYTES: &str = "application/octet-stream";
/// A tile never changes.
const FOR_GOOD: &str = "public, max-age=604800, immutable";
/// What there is now may be otherwise in a second.
const NOT_KEPT: &str = "no-cache";
const NOT_FOUND: &str = "nothing here; try /checkpoint or /tile/<level>/<index>\n";

/// What is published of a ledger.
pub struct Publishing {
    /// Its tiles.
    pub tiles: Tiles,
    /// Whether its entries are, too. They say who called what, when and why, and about which
    /// pseudonym, but not what was answered.
    pub entries: bool,
    /// The newest checkpoint that readers are to have, if there is one; it must be one that the
    /// tiles cover.
    pub checkpoint: Box<dyn Fn() -> Option<String> + Send + Sync>,
}

/// A ledger that can be followed over HTTP. Cloning shares it.
#[derive(Clone)]
pub struct Published(Arc<Publishing>);

impl Published {
    /// Publishes a ledger; nothing is read yet.
    pub fn new(publishing: Publishing) -> Self {
        Self(Arc::new(publishing))
    }

    /// Answers on `listener` for as long as it is polled.
    pub async fn serve(self, listener: TcpListener) {
        let answer = move |request: hyper::Request<hyper::body::Incoming>| {
            let published = self.clone();
            let (method, path) = (request.method().clone(), request.uri().path().to_owned());
            async move { published.answer(&method, path).await }
        };
        http::serve(listener, "published ledger", BOUNDS, answer).await;
    }

    async fn answer(self, method: &Method, path: String) -> Answer {
        if method != Method::GET {
            let mut refused = http::answer(StatusCode::METHOD_NOT_ALLOWED, TEXT, "try GET\n");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
            return refused;
        }
        // It reads files, and hashes.
        let answered = tokio::task::spawn_blocking(move || self.get(&path)).await;
        answered.unwrap_or_else(|error| {
            tracing::error!(%error, "a tile could not be read");
            http::answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "cannot be read\n")
        })
    }

    /// What stands under a path, which begins with a slash.
    fn get(&self, path: &str) -> Answer {
        let Publishing { tiles, entries, checkpoint } = &*self.0;
        let path = path.strip_prefix('/').unwrap_or_default();
        if path == CHECKPOINT {
            return match checkpoint() {
                Some(checkpoint) => kept(StatusCode::OK, TEXT, checkpoint, NOT_KEPT),
                None => kept(StatusCode::NOT_FOUND, TEXT, "no checkpoint yet\n", NOT_KEPT),
            };
        }
        let tile = path.parse::<Tile>().ok();
        let Some(tile) = tile.filter(|tile| *entries || tile.kind != Kind::Entries) else {
            return kept(StatusCode::NOT_FOUND, TEXT, NOT_FOUND, NOT_KEPT);
        };
        match tiles.get(path) {
            Ok(Some(bytes)) => kept(StatusCode::OK, BYTES, bytes, FOR_GOOD),
            Ok(None) => kept(StatusCode::NOT_FOUND, TEXT, NOT_FOUND, NOT_KEPT),
            Err(TilesError::Entries(ReadError::Absent { absence, .. })) => {
                let why = format!("these entries are not to be had: {absence}\n");
                kept(StatusCode::NOT_FOUND, TEXT, why, NOT_KEPT)
            }
            Err(error) => {
                tracing::error!(%error, %tile, "a tile could not be read");
                http::answer(StatusCode::INTERNAL_SERVER_ERROR, TEXT, "cannot be read\n")
            }
        }
    }
}

fn kept(
    status: StatusCode,
    kind: &'static str,
    body: impl Into<hyper::body::Bytes>,
    how_long: &'static str,
) -> Answer {
    let mut answer = http::answer(status, kind, body);
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(how_long));
    answer
}
