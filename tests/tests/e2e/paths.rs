//! Paths that lead out of an owner's service, against servers that people run.

use crate::{Test, upstream};
use anyhow::Result;
use ripost_tests::peers::{FileServer, Program};
use ripost_tests::wire::{ask, status};
use ripost_tests::{Host, audit};

/// Each reaches `/secret.txt`, beside `/process`, at some server, or would if it had been written for it.
const OUT: &[&str] = &[
    "/../secret.txt",
    "/%2e%2e/secret.txt",
    "/.%2E/secret.txt",
    "/..%2fsecret.txt",
    "/..%2Fsecret.txt",
    "/%2e%2e%2fsecret.txt",
    "/x/..%2f..%2fsecret.txt",
    "/sub/..%2f..%2fsecret.txt",
    "/sub%2f..%2f..%2fsecret.txt",
    "//..%2fsecret.txt",
    "/%2f..%2f..%2fsecret.txt",
    "/.%2f..%2fsecret.txt",
    "/..%5csecret.txt",
    "/..\\secret.txt",
    "/sub\\..\\..\\secret.txt",
    "/%252e%252e/secret.txt",
    "/..%252fsecret.txt",
    "/..%25252fsecret.txt",
    "/%2525252e%2525252e/secret.txt",
    "/..;/secret.txt",
    "/..;a=b/secret.txt",
    "/..%3b/secret.txt",
    "/..%00/secret.txt",
    "/..%2fsecret.txt%00.html",
    "/..%0a/secret.txt",
    "/..%20/secret.txt",
    "/%c0%ae%c0%ae/secret.txt",
    "/..%c0%afsecret.txt",
    "/..%c1%9csecret.txt",
    "/%e0%80%ae%e0%80%ae/secret.txt",
    "/%u002e%u002e/secret.txt",
    "/..%u002fsecret.txt",
    "/%ef%bc%8e%ef%bc%8e/secret.txt",
    "/..%ef%bc%8fsecret.txt",
];

/// Spelt in another way, and below.
const BELOW: &[(&str, &str)] = &[
    ("/in.txt", "inside"),
    ("/%69n.txt", "inside"),
    ("/sub/in.txt", "below"),
    ("/sub/../in.txt", "inside"),
    ("/sub/%2e%2e/in.txt", "inside"),
    ("/sub%2Fin.txt", "below"),
    ("/in.txt?name=../..%2f..;%00", "inside"),
];

async fn call(host: &Host, rest: &str) -> Result<String> {
    ask(
        host.url(),
        "GET",
        &format!("/api/demo/api/up{rest}"),
        &[("x-consumer-key", "demo-public-key-2026"), ("prefer", "wait=20")],
    )
    .await
}

/// `leaks`: what a caller would have had who asks the server itself, so that there is something to keep in.
async fn nothing_leads_out_of(server: FileServer, leaks: &[&str]) -> Test {
    for rest in leaks {
        let direct = ask(&server.address, "GET", &format!("/process{rest}"), &[]).await?;
        assert!(direct.ends_with("SECRET"), "{rest}: {direct}");
    }
    let host = upstream::host(&format!("http://{}/process", server.address), "").start().await?;
    let before = host.demo().balances().await?;
    for rest in OUT {
        let answer = call(&host, rest).await?;
        assert_eq!(status(&answer), 400, "{rest}: {answer}");
        assert!(answer.contains("urn:ripost:problem:invalid-path"), "{rest}: {answer}");
    }
    assert_eq!(host.demo().balances().await?, before, "nothing was held");
    assert_eq!(audit::count(host.data(), "requests")?, 0, "nothing was accepted");
    for (rest, contents) in BELOW {
        let answer = call(&host, rest).await?;
        assert!(status(&answer) == 200 && answer.ends_with(contents), "{rest}: {answer}");
    }
    Ok(())
}

#[tokio::test]
async fn no_path_leads_out_of_a_service_that_is_pythons_file_server() -> Test {
    let leaks = ["/../secret.txt", "/..%2fsecret.txt", "/x/..%2f..%2fsecret.txt", "/%2e%2e%2fsecret.txt"];
    nothing_leads_out_of(FileServer::start(Program::Python).await?, &leaks).await
}

#[tokio::test]
async fn no_path_leads_out_of_a_service_that_is_written_for_node() -> Test {
    let leaks = ["/../secret.txt", "/..%2fsecret.txt", "/x/..%2f..%2fsecret.txt", "/sub%2f..%2f..%2fsecret.txt"];
    nothing_leads_out_of(FileServer::start(Program::Node).await?, &leaks).await
}

#[tokio::test]
async fn no_path_leads_out_of_a_service_behind_nginx() -> Test {
    let leaks = ["/../secret.txt", "/..%2fsecret.txt", "/x/..%2f..%2fsecret.txt", "/%2e%2e%2fsecret.txt"];
    nothing_leads_out_of(FileServer::nginx().await?, &leaks).await
}
