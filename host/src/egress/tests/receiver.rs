//! A receiver that does what a test says, byte by byte.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    _stop: DropGuard,
}

/// What the receiver saw, for the one that answers.
#[derive(Clone)]
pub(crate) struct Log(Arc<Mutex<Vec<String>>>);

impl Receiver {
    /// Every connection is handed to `serve`, with its number from 0.
    pub(crate) async fn start<F, Fut>(serve: F) -> Self
    where
        F: Fn(TcpStream, usize, Log) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (counter, log, stopped, connections) =
            (accepted.clone(), Log(requests.clone()), stop.clone(), tasks.clone());
        tasks.spawn(async move {
            while let Some(Ok((stream, _))) = stopped.run_until_cancelled(listener.accept()).await {
                let number = counter.fetch_add(1, Ordering::SeqCst);
                let connection = serve(stream, number, log.clone());
                connections.spawn(stopped.clone().run_until_cancelled_owned(connection));
            }
        });
        Self { address, accepted, requests, _stop: stop.drop_guard() }
    }

    /// The same answer to every request, on as many connections as come.
    pub(crate) async fn answering(answer: &'static [u8]) -> Self {
        Self::start(move |mut stream, _, log| async move {
            while log.request(&mut stream).await.is_some() {
                if stream.write_all(answer).await.is_err() {
                    break;
                }
            }
        })
        .await
    }

    /// The answer once, and then silence with the connection open.
    pub(crate) async fn saying_once(answer: &'static [u8]) -> Self {
        Self::start(move |mut stream, _, log| async move {
            log.request(&mut stream).await;
            let _ = stream.write_all(answer).await;
            std::future::pending().await
        })
        .await
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Log {
    /// Reads one request, head and body, and notes it; `None` when the client has hung up.
    pub(crate) async fn request(&self, stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
        let mut bytes = Vec::new();
        loop {
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let whole = end + 4 + length.map_or(0, |digits| digits.parse().unwrap());
                if bytes.len() >= whole {
                    let request = String::from_utf8(bytes).unwrap();
                    self.0.lock().unwrap().push(request.clone());
                    return Some(request);
                }
            }
            if stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        }
    }
}
