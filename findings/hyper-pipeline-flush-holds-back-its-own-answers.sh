#!/usr/bin/env bash
# hyper 1.12.0 (server, HTTP/1): with pipeline_flush(true) a request of more than 100 fields has no answer at all.
#
# Without it hyper sends its own 431 and then closes. With it that answer stays in hyper's buffer and the connection
# closes without a byte; its own 400 is lost the same way. Answers of the service itself arrive either way.
# Who meets it: servers that turn it on for throughput; their clients see a dropped connection in place of a reason.
set -euo pipefail
cd "$(mktemp -d)"
trap 'rm -rf "$PWD"' EXIT
mkdir src
cat > Cargo.toml <<'TOML'
[package]
name = "try"
version = "0.0.0"
edition = "2024"

[dependencies]
hyper = { version = "=1.12.0", features = ["http1", "server"] }
hyper-util = { version = "=0.1.21", features = ["tokio"] }
tokio = { version = "1", features = ["io-util", "macros", "rt"] }
TOML
cat > src/main.rs <<'RS'
use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

async fn answer(flush: bool, fields: usize) -> String {
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let service = service_fn(|_: Request<Incoming>| async { Ok::<_, Infallible>(Response::new(String::from("hello"))) });
    let mut builder = http1::Builder::new();
    builder.pipeline_flush(flush).keep_alive(false);
    let served = tokio::spawn(builder.serve_connection(TokioIo::new(server), service));
    let head = format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: 1\r\n".repeat(fields - 1));
    client.write_all(head.as_bytes()).await.unwrap();
    let mut read = String::new();
    client.read_to_string(&mut read).await.unwrap();
    let _ = served.await.unwrap();
    read.lines().next().unwrap_or("closed without a byte").to_owned()
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    for flush in [false, true] {
        for fields in [100, 101] {
            println!("pipeline_flush({flush}), {fields} fields: {}", answer(flush, fields).await);
        }
    }
}
RS
cargo run --quiet | tee seen
diff - seen <<'SEEN'
pipeline_flush(false), 100 fields: HTTP/1.1 200 OK
pipeline_flush(false), 101 fields: HTTP/1.1 431 Request Header Fields Too Large
pipeline_flush(true), 100 fields: HTTP/1.1 200 OK
pipeline_flush(true), 101 fields: closed without a byte
SEEN
