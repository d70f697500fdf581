//! (p) What others notice of guests and callers that take what they can: memory in one instruction, memory that stays,
//! compiling, answers that nobody reads.

use super::Size;
use super::figures::Table;
use super::load::{Connection, Latencies, Template};
use super::memory::{peak_mb, resident_mb};
use crate::products;
use anyhow::{Context as _, Result, bail, ensure};
use http::Method;
use ripost_tests::guests::Touch;
use ripost_tests::{Api, Host, Plugin, guests};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use tokio::task::JoinSet;

/// Callers of an attack at once.
const CALLERS: [usize; 3] = [2, 8, 16];
/// Calls and accepts of the neighbour, each second: well below what the machine can do.
const RATE: u64 = 200;
/// What one of those that do not read asks for at once.
const UNREAD_EACH: usize = 8;
const ANSWER_BYTES: usize = 4 << 20;
/// How long a peak of memory may last after its cause.
const GIVEN_BACK_WITHIN: Duration = Duration::from_secs(30);
const GIVEN_BACK_MB: f64 = 150.0;
/// What a new plugin of the neighbour's may take while others' are compiled.
const SERVED_WITHIN: Duration = Duration::from_secs(120);

/// What is done to the gateway.
#[derive(Clone, Copy)]
enum Attack {
    /// Calls of `attack/guest`, which is this guest, one after the other.
    Calls { what: &'static str, guest: fn() -> Vec<u8>, limit: &'static str },
    /// Plugins of another owner's that take long to compile.
    Compiles,
    /// Results that nobody reads.
    Unread,
}

const ATTACKS: [Attack; 7] = [
    Attack::Calls {
        what: "62 MiB filled in one instruction, then a trap",
        guest: || guests::fills_and_traps(62),
        limit: "",
    },
    Attack::Calls {
        what: "62 MiB filled in one instruction, then an answer",
        guest: || guests::fills(62, Touch::AtOnce),
        limit: "",
    },
    Attack::Calls { what: "62 MiB filled in a loop", guest: || guests::fills(62, Touch::InALoop), limit: "" },
    Attack::Calls {
        what: "62 MiB at the start, filled in one instruction",
        guest: || guests::starts_with_and_fills(62),
        limit: "",
    },
    Attack::Calls {
        what: "496 MiB filled in one instruction",
        guest: || guests::fills(496, Touch::AtOnce),
        limit: "memory = \"512 MiB\"",
    },
    Attack::Compiles,
    Attack::Unread,
];

impl Attack {
    fn what(self) -> String {
        match self {
            Attack::Calls { what, .. } => format!("a guest with {what}"),
            Attack::Compiles => "another owner's plugins that take long to compile".to_owned(),
            Attack::Unread => format!("{UNREAD_EACH} results of 4 MiB each that nobody reads"),
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Attack::Calls { .. } | Attack::Unread => "callers",
            Attack::Compiles => "plugins",
        }
    }

    fn plugins(self) -> Vec<Plugin> {
        match self {
            Attack::Calls { guest, limit, .. } => {
                vec![Plugin::new("attack", [Api::new("attack", "guest", guest()).line(OFF).limit(limit)])]
            }
            Attack::Compiles => Vec::new(),
            Attack::Unread => {
                let answers = guests::answers_bytes(ANSWER_BYTES - (64 << 10));
                vec![Plugin::new("attack", [Api::new("attack", "guest", answers)])]
            }
        }
    }

    /// Goes on for as long as the set lives.
    async fn begin(self, host: &Host, address: SocketAddr, callers: usize) -> Result<JoinSet<Result<()>>> {
        let mut tasks = JoinSet::new();
        match self {
            Attack::Calls { .. } => {
                let call = Template::call("attack/guest", r#"{"n":"@@@@@@@@@@"}"#);
                for _ in 0..callers {
                    let mut connection = Connection::open(address, &call).await?;
                    tasks.spawn(async move {
                        for number in 0.. {
                            connection.call(number).await?;
                        }
                        Ok(())
                    });
                }
            }
            Attack::Compiles => {
                for number in 0..callers {
                    slow_to_compile(number).install(host.stage(), host.plugins())?;
                }
            }
            Attack::Unread => {
                let consumer = host.demo();
                let call = consumer.request(Method::POST, "/api/attack/api/guest").header("prefer", "wait=20");
                let answer = call.json(&serde_json::json!({})).send().await?.expect(200)?;
                let id = answer.header("ripost-request-id").context("no id")?.to_owned();
                for _ in 0..callers * UNREAD_EACH {
                    let id = id.clone();
                    tasks.spawn(async move {
                        let socket = TcpSocket::new_v4()?;
                        socket.set_recv_buffer_size(2048)?;
                        let mut stream = socket.connect(address).await?;
                        let head = format!(
                            "GET /requests/{id}/result HTTP/1.1\r\nhost: bench\r\nx-consumer-key: demo-public-key-2026\r\n\r\n"
                        );
                        stream.write_all(head.as_bytes()).await?;
                        std::future::pending().await
                    });
                }
            }
        }
        Ok(tasks)
    }
}

const OFF: &str = "delivery = \"off\"";

/// What the neighbour had: until the answer of a synchronous call, and until the 202, counted from when each was due.
#[derive(Default)]
struct Neighbour {
    calls: Latencies,
    accepts: Latencies,
}

impl Neighbour {
    fn p99(&mut self) -> [f64; 2] {
        [self.calls.percentile(0.99), self.accepts.percentile(0.99)]
    }
}

pub(super) async fn measure(size: Size, table: &mut Table) -> Result<()> {
    for attack in ATTACKS {
        table.section(&format!(
            "(p) {RATE} calls and {RATE} accepts a second of a neighbour, p99 without and with {}",
            attack.what()
        ));
        for callers in CALLERS {
            row(size, table, attack, callers).await?;
        }
    }
    Ok(())
}

async fn row(size: Size, table: &mut Table, attack: Attack, callers: usize) -> Result<()> {
    let echo = std::fs::read(products::plugins_dir().join("echo/echo.wasm")).context("the built echo")?;
    let mine = [
        Plugin::new("calls", [Api::new("good", "calls", echo.clone()).line(OFF)]),
        Plugin::new("accepts", [Api::new("good", "accepts", echo.clone())]),
    ];
    let plugins = attack.plugins();
    let builder = plugins.iter().chain(&mine).fold(Host::builder().dev(), |builder, plugin| builder.plugin(plugin));
    let host = builder.start().await?;
    let address: SocketAddr = host.url().trim_start_matches("http://").parse().context("the gateway's address")?;
    neighbour(address, Duration::from_secs(1)).await?;
    let mut calm = neighbour(address, size.round).await?;
    let tasks = attack.begin(&host, address, callers).await?;
    let served = match attack {
        Attack::Compiles => Some(new_plugin(&host, echo).await?),
        Attack::Calls { .. } | Attack::Unread => None,
    };
    let mut attacked = neighbour(address, size.round).await?;
    let peak = peak_mb(host.pid())?;
    drop(tasks);
    let ([calls, accepts], [calls_beside, accepts_beside]) = (calm.p99(), attacked.p99());
    table.figure(
        &format!("{callers} {}: calls, accepts", attack.unit()),
        format!(
            "{calls:.2} and {calls_beside:.2} ms, {:.1} times; {accepts:.2} and {accepts_beside:.2} ms, {:.1} times",
            calls_beside / calls,
            accepts_beside / accepts
        ),
        "under 2 times",
        Some(calls_beside < 2.0 * calls && accepts_beside < 2.0 * accepts),
    );
    if let Some(served) = served {
        table.figure(
            &format!("{callers} {}: until a new plugin of the neighbour's serves", attack.unit()),
            format!("{:.1} s", served.as_secs_f64()),
            "under 30 s",
            Some(served < Duration::from_secs(30)),
        );
    } else {
        let (after, within) = given_back(host.pid()).await?;
        table.figure(
            &format!("{callers} {}: memory at the peak, and afterwards", attack.unit()),
            format!("{peak:.0} MB; {after:.0} MB after {:.0} s", within.as_secs_f64()),
            "under 150 MB within 30 s",
            Some(after < GIVEN_BACK_MB),
        );
    }
    Ok(())
}

/// Calls and accepts at [`RATE`] for so long.
async fn neighbour(address: SocketAddr, round: Duration) -> Result<Neighbour> {
    let body = r#"{"n":"@@@@@@@@@@"}"#;
    let call = Template::call("good/calls", body);
    let accept = Template::call("good/accepts", body).with_header("prefer: respond-async");
    let (calls, accepts) =
        tokio::try_join!(at_a_rate(address, &call, 200, round), at_a_rate(address, &accept, 202, round))?;
    Ok(Neighbour { calls, accepts })
}

async fn at_a_rate(address: SocketAddr, template: &Template, status: u16, round: Duration) -> Result<Latencies> {
    const CONNECTIONS: u64 = 32;
    let (total, begun, mut workers) = (RATE * round.as_secs(), Instant::now(), JoinSet::new());
    for worker in 0..CONNECTIONS {
        let mut connection = Connection::open(address, template).await?;
        workers.spawn(async move {
            let mut latencies = Latencies::default();
            for number in (worker..total).step_by(usize::try_from(CONNECTIONS)?) {
                let due = begun + Duration::from_secs_f64(number as f64 / RATE as f64);
                tokio::time::sleep_until(due.into()).await;
                let answered = connection.call(number).await?;
                if answered != status {
                    bail!("expected {status}, got {answered}");
                }
                latencies.add(due.elapsed());
            }
            anyhow::Ok(latencies)
        });
    }
    let mut all = Latencies::default();
    while let Some(worker) = workers.join_next().await {
        all.extend(worker??);
    }
    Ok(all)
}

/// Six large functions with much to follow from block to block, a few constants in each so that no two plugins are alike.
fn slow_to_compile(number: usize) -> Plugin {
    const FUNCTIONS: usize = 6;
    const NESTED: usize = 3000;
    let mut items = String::new();
    for function in 0..FUNCTIONS {
        let constant = number * FUNCTIONS + function;
        let _ = write!(
            items,
            "(func $f{function} (param i32) (result i32) i32.const {constant} local.set 0 block block block block {} {} end end end end local.get 0)",
            "loop local.get 0 br_if 3 ".repeat(NESTED),
            "end ".repeat(NESTED)
        );
    }
    let name = format!("slow{number}");
    Plugin::new(&name, [Api::new("attack", &name, guests::with_items(&items)).line(OFF)])
}

/// How long a new plugin of the neighbour's takes to serve.
async fn new_plugin(host: &Host, echo: Vec<u8>) -> Result<Duration> {
    let mut component = echo;
    // A custom section: another component of the same size.
    component.extend_from_slice(&[0, 5, 3, b'n', b'e', b'w', 1]);
    let begun = Instant::now();
    Plugin::new("new", [Api::new("good", "new", component).line(OFF)]).install(host.stage(), host.plugins())?;
    let consumer = host.demo();
    loop {
        let answer = consumer.request(Method::POST, "/api/good/api/new").json(&serde_json::json!({})).send().await?;
        if answer.status == 200 {
            return Ok(begun.elapsed());
        }
        ensure!(begun.elapsed() < SERVED_WITHIN, "a new plugin does not serve within {} s", SERVED_WITHIN.as_secs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Memory once it is under [`GIVEN_BACK_MB`], or after [`GIVEN_BACK_WITHIN`]; and how long that took.
async fn given_back(pid: u32) -> Result<(f64, Duration)> {
    let begun = Instant::now();
    loop {
        let now = resident_mb(pid)?;
        if now < GIVEN_BACK_MB || begun.elapsed() > GIVEN_BACK_WITHIN {
            return Ok((now, begun.elapsed()));
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}
