//! wasi 0.2 for guests whose toolchain imports it: everything links and nothing is granted. No files, no sockets, no
//! names, no environment, no arguments; time and randomness are the request's; what is printed is log.

use std::time::{Duration, Instant};

use bytes::Bytes;
use chacha20::rand_core::Rng;
use tokio::io::AsyncWrite;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::call::Clock;
use crate::guest::{RandomStream, State, Steady};
use crate::log::{Log, Stdio};
use crate::tape::Tape;

/// More than any seed or key; a guest that wants more asks again.
const RANDOM_BYTES_MAX: u64 = 65_536;
/// What a guest may print at once.
const WRITE_BYTES_MAX: usize = 65_536;

/// Made when a guest first calls wasi.
pub(crate) struct Wasi {
    context: WasiCtx,
    table: ResourceTable,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.make_wasi();
        let wasi = self.wasi.as_mut().expect("it was just made");
        WasiCtxView { ctx: &mut wasi.context, table: &mut wasi.table }
    }
}

impl State {
    pub(super) fn make_wasi(&mut self) {
        if self.wasi.is_none() {
            self.wasi = Some(Box::new(Wasi::new(self)));
        }
    }
}

impl Wasi {
    pub(super) fn table_mut(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    fn new(state: &mut State) -> Self {
        // Before its clock.
        state.tape();
        let mut table = ResourceTable::new();
        table.set_max_capacity(state.limits.resources);
        let mut seed = [0; 16];
        state.random_stream(RandomStream::WasiInsecureSeed).fill_bytes(&mut seed);
        let context = WasiCtxBuilder::new()
            .stdout(Printed { log: state.log.clone(), stdio: Stdio::Out })
            .stderr(Printed { log: state.log.clone(), stdio: Stdio::Err })
            .secure_random(state.random_stream(RandomStream::WasiSecure))
            .insecure_random(state.random_stream(RandomStream::WasiInsecure))
            .insecure_random_seed(u128::from_le_bytes(seed))
            .max_random_size(RANDOM_BYTES_MAX)
            .wall_clock(WallClock(state.now.clone(), state.tape.clone()))
            .monotonic_clock(MonotonicClock((state.steady == Steady::Passes).then(Instant::now)))
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false)
            .build();
        Wasi { context, table }
    }
}

/// None: nothing of this run is kept.
struct WallClock(Clock, Option<Tape>);

impl HostWallClock for WallClock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        let WallClock(now, tape) = self;
        Duration::from_millis(tape.as_ref().map_or_else(|| now(), Tape::now_ms))
    }
}

/// Time since the guest first asked for anything of wasi, in whole milliseconds: with a finer clock a guest could time
/// caches, and read what speculation leaves in them. `None`: it stands.
struct MonotonicClock(Option<Instant>);

const MONOTONIC_STEP_NS: u64 = 1_000_000;

impl HostMonotonicClock for MonotonicClock {
    fn resolution(&self) -> u64 {
        MONOTONIC_STEP_NS
    }

    fn now(&self) -> u64 {
        let elapsed = self.0.map_or(Duration::ZERO, |began| began.elapsed());
        let passed = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        passed - passed % MONOTONIC_STEP_NS
    }
}

/// Standard output or standard error: lines of the log, never full and never closed, so that no guest dies of
/// printing.
#[derive(Clone)]
struct Printed {
    log: Log,
    stdio: Stdio,
}

impl IsTerminal for Printed {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Printed {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

#[async_trait::async_trait]
impl Pollable for Printed {
    async fn ready(&mut self) {}
}

impl OutputStream for Printed {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.log.write_stdio(self.stdio, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

impl AsyncWrite for Printed {
    fn poll_write(
        self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
        bytes: &[u8],
    ) -> std::task::Poll<std::io::Result<usize>> {
        self.log.write_stdio(self.stdio, bytes);
        std::task::Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(
        self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        self: std::pin::Pin<&mut Self>,
        _context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<std::io::Result<()>> {
        std::task::Poll::Ready(Ok(()))
    }
}
