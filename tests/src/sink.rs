//! An endpoint for webhooks, in this process: records what arrives, answers as told.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::{BodyExt as _, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// One webhook as it arrived.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Which of this sink's connections it came on, from 0.
    pub connection: usize,
    /// `POST`.
    pub method: String,
    /// Path and query.
    pub path: String,
    /// All headers.
    pub headers: HeaderMap,
    /// The exact bytes.
    pub body: Bytes,
    /// When its body was read.
    pub at: Instant,
}

impl Delivery {
    /// A header as text; empty if there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// `webhook-id`.
    #[must_use]
    pub fn id(&self) -> &str {
        self.header("webhook-id")
    }

    /// `ripost-request-id`.
    #[must_use]
    pub fn request_id(&self) -> &str {
        self.header("ripost-request-id")
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// It is not.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).context("the webhook's body is not JSON")
    }
}

/// How the endpoint answers one delivery.
#[derive(Debug, Clone)]
pub struct Reply {
    status: StatusCode,
    headers: Vec<(&'static str, String)>,
    delay: Duration,
    body: Body,
}

#[derive(Debug, Clone)]
enum Body {
    Whole(Bytes),
    /// One byte each so often, for ever.
    Drip(Duration),
    /// The connection is reset instead of an answer.
    Reset,
}

impl Reply {
    /// An answer with this status and no body.
    #[must_use]
    pub fn status(status: u16) -> Self {
        let status = StatusCode::from_u16(status).expect("a status has three digits");
        Self { status, headers: Vec::new(), delay: Duration::ZERO, body: Body::Whole(Bytes::new()) }
    }

    /// The connection is reset (RST) once the delivery was read.
    #[must_use]
    pub fn reset() -> Self {
        Self { body: Body::Reset, ..Self::status(200) }
    }

    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// So much later.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// With a body.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Body::Whole(body.into());
        self
    }

    /// With a body of one byte each `every`, without end.
    #[must_use]
    pub fn drip(mut self, every: Duration) -> Self {
        self.body = Body::Drip(every);
        self
    }
}

#[derive(Default)]
struct State {
    deliveries: Mutex<Vec<Delivery>>,
    script: Mutex<VecDeque<Reply>>,
    otherwise: Mutex<Option<Reply>>,
    count: AtomicUsize,
    forgets: AtomicBool,
    connections: AtomicUsize,
}

/// The endpoint. It stops, with all its connections, when it is dropped.
pub struct Sink {
    address: SocketAddr,
    state: Arc<State>,
    _tasks: JoinSet<()>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sink {
    /// An endpoint on a free loopback port that says 200 to everything until told otherwise.
    ///
    /// # Errors
    /// There is no free port.
    pub async fn start() -> Result<Self> {
        Self::start_at(([127, 0, 0, 1], 0).into()).await
    }

    /// The same on an address of the caller's.
    ///
    /// # Errors
    /// It is taken.
    pub async fn start_at(address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address).await.context("binding the sink")?;
        let address = listener.local_addr()?;
        let state = Arc::new(State::default());
        let mut tasks = JoinSet::new();
        tasks.spawn(accept(listener, state.clone()));
        Ok(Self { address, state, _tasks: tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// A URL of it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next answers, in this order; then 200 (or what [`Self::otherwise`] said) again.
    pub fn script(&self, replies: impl IntoIterator<Item = Reply>) {
        lock(&self.state.script).extend(replies);
    }

    /// The answer when the script has none left.
    pub fn otherwise(&self, reply: Reply) {
        *lock(&self.state.otherwise) = Some(reply);
    }

    /// From now on deliveries are counted and not kept: for a bench.
    pub fn forget(&self) {
        self.state.forgets.store(true, Ordering::Relaxed);
    }

    /// How many arrived.
    #[must_use]
    pub fn count(&self) -> usize {
        self.state.count.load(Ordering::Acquire)
    }

    /// Connections that were opened to it.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.state.connections.load(Ordering::Acquire)
    }

    /// All that arrived, in order.
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        lock(&self.state.deliveries).clone()
    }

    /// Those of one request.
    #[must_use]
    pub fn of(&self, request_id: &str) -> Vec<Delivery> {
        lock(&self.state.deliveries).iter().filter(|delivery| delivery.request_id() == request_id).cloned().collect()
    }

    /// Waits for `count` deliveries of one request, ten seconds at most.
    ///
    /// # Errors
    /// They did not come.
    pub async fn wait(&self, request_id: &str, count: usize) -> Result<Vec<Delivery>> {
        crate::until(&format!("{count} deliveries of {request_id}"), Duration::from_secs(10), async || {
            let found = self.of(request_id);
            Ok((found.len() >= count).then_some(found))
        })
        .await
    }

    /// Waits for the first delivery of one request, ten seconds at most.
    ///
    /// # Errors
    /// It did not come.
    pub async fn first(&self, request_id: &str) -> Result<Delivery> {
        Ok(self.wait(request_id, 1).await?.swap_remove(0))
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let number = state.connections.fetch_add(1, Ordering::AcqRel);
        connections.spawn(serve(stream, number, state.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(mut stream: TcpStream, number: usize, state: Arc<State>) {
    let reset = AtomicBool::new(false);
    // Without it the answer's head waits for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let service = service_fn(async |request| answer(request, number, &state, &reset).await);
    // An endpoint does not care how a connection ended.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(&mut stream), service).await;
    if reset.load(Ordering::Relaxed) {
        let _ = stream.set_zero_linger();
    }
}

/// The reply says that there is none.
#[derive(Debug)]
struct Reset;

impl std::fmt::Display for Reset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("reset as told")
    }
}

impl std::error::Error for Reset {}

async fn answer(
    request: http::Request<Incoming>,
    connection: usize,
    state: &State,
    reset: &AtomicBool,
) -> Result<Response<BoxBody<Bytes, Infallible>>, Reset> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(|_| Reset)?.to_bytes();
    if !state.forgets.load(Ordering::Relaxed) {
        let path = head.uri.path_and_query().map_or_else(String::new, ToString::to_string);
        let (method, headers) = (head.method.to_string(), head.headers);
        lock(&state.deliveries).push(Delivery { connection, method, path, headers, body, at: Instant::now() });
    }
    state.count.fetch_add(1, Ordering::AcqRel);
    let scripted = lock(&state.script).pop_front();
    let reply = scripted.or_else(|| lock(&state.otherwise).clone()).unwrap_or_else(|| Reply::status(200));
    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
    let body = match reply.body {
        Body::Whole(bytes) => http_body_util::Full::new(bytes).boxed(),
        Body::Drip(every) => drip(every),
        Body::Reset => {
            reset.store(true, Ordering::Relaxed);
            return Err(Reset);
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = reply.status;
    for (name, value) in reply.headers {
        let value = value.parse().expect("a test's header value is one");
        response.headers_mut().append(name, value);
    }
    Ok(response)
}

fn drip(every: Duration) -> BoxBody<Bytes, Infallible> {
    Drip(tokio::time::interval(every)).boxed()
}

/// One byte each tick, for ever.
struct Drip(tokio::time::Interval);

impl hyper::body::Body for Drip {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_tick(context).map(|_| Some(Ok(Frame::data(Bytes::from_static(b".")))))
    }
}
