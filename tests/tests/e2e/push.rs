//! Plugins that come over the wire.

use crate::{Test, host, upstream};
use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use ripost_tests::{Answer, Api, Consumer, Host, Plugin, guests, until};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;
use tar::{Builder, EntryType, Header};

const PATH: &str = "/admin/v1/plugins/demo/echo";

fn digest(bytes: &[u8]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(bytes)))
}

fn operator(host: &Host) -> anyhow::Result<String> {
    Ok(std::fs::read_to_string(host.data().join("admin-token"))?.trim().to_owned())
}

async fn put(host: &Host, token: &str, path: &str, archive: &[u8], digest: &str) -> anyhow::Result<Answer> {
    let anybody = Consumer::new(host.admin_url(), None);
    let call = anybody.request(Method::PUT, path).header("authorization", &format!("Bearer {token}"));
    call.header("content-digest", digest).raw("application/x-tar", archive.to_vec()).send().await
}

/// Names are written as they are, whatever they are.
fn entry(builder: &mut Builder<Vec<u8>>, name: &str, kind: EntryType, bytes: &[u8]) {
    let mut header = Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(bytes.len() as u64);
    if kind == EntryType::Symlink {
        header.as_old_mut().linkname[..11].copy_from_slice(b"/etc/passwd");
    }
    header.set_cksum();
    builder.append(&header, bytes).unwrap();
}

fn archive(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, kind, bytes) in entries {
        entry(&mut builder, name, *kind, bytes);
    }
    builder.into_inner().unwrap()
}

fn manifest(owner: &str) -> String {
    format!(
        "[plugin]\nname = \"echo\"\nversion = \"1.0.0\"\n[[api]]\nowner = \"{owner}\"\nslug = \"echo\"\nhandler = \"echo.wasm\"\n"
    )
}

/// The plugin `echo` of an owner.
fn echo(owner: &str) -> Vec<u8> {
    let (manifest, component) = (manifest(owner), guests::echo());
    let regular = EntryType::Regular;
    archive(&[("plugin.toml", regular, manifest.as_bytes()), ("echo.wasm", regular, component.as_ref())])
}

async fn owner_token(host: &Host, owner: &str) -> anyhow::Result<String> {
    let arguments = ["tokens", "add", owner, "--role", "owner", "--owner", owner, "--json"];
    let added = host.cli(&arguments).await?.expect(0)?.json()?;
    Ok(added["token"].as_str().context("a token")?.to_owned())
}

/// No plugin of that name, and no revision.
async fn nothing_was_kept(host: &Host) -> Test {
    host.admin(Method::GET, PATH).await?.expect(404)?;
    let status = host.admin(Method::GET, "/admin/v1/status").await?.expect(200)?.json()?;
    assert_eq!(status["plugins"], json!([]));
    let kept = host.data().join("revisions").read_dir_utf8()?.filter_map(Result::ok);
    let kept: Vec<_> = kept.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).collect();
    assert!(kept.is_empty(), "{kept:?}");
    Ok(())
}

async fn answers(consumer: &Consumer) -> Test {
    let answer = consumer.call("demo/echo").json(&json!({ "n": 1 })).send().await?;
    answer.expect(200).map(|_| ())
}

#[tokio::test]
async fn a_pushed_plugin_serves_also_after_a_restart_and_until_it_is_removed() -> Test {
    let host = host().start().await?;
    let token = owner_token(&host, "demo").await?;
    let folder = host.stage().join("echo");
    let plugin = Plugin::one("echo", guests::echo());
    plugin.write(&folder)?;
    // What the manifest does not name stays where it is.
    std::fs::write(folder.join("notes.txt"), "mine")?;
    std::fs::write(folder.join("other.wasm"), "not named")?;
    let push = ["push", folder.as_str(), "--to", host.admin_url(), "--token", &token];
    let shown = host.cli(&push).await?.expect(0)?.stdout;
    assert!(shown.contains("demo/echo: 2 files") && shown.contains("serves revision"), "{shown}");
    std::fs::remove_dir_all(&folder)?;
    answers(&host.demo()).await?;
    let status = host.admin(Method::GET, PATH).await?.expect(200)?.json()?;
    assert_eq!((&status["state"], &status["key"]), (&json!("active"), &json!("demo/echo")));

    let host = host.restart().await?;
    answers(&host.demo()).await?;
    // The same again changes nothing; another version takes its place.
    plugin.write(&folder)?;
    host.cli(&["push", folder.as_str()]).await?.expect(0)?;
    let priced =
        plugin.with_manifest(|manifest| manifest.replace("slug = \"echo\"", "slug = \"echo\"\nprice = \"0.05\""));
    priced.write(&folder)?;
    host.cli(&["push", folder.as_str()]).await?.expect(0)?;
    let apis = host.admin(Method::GET, "/admin/v1/apis").await?.expect(200)?.json()?;
    assert_eq!(apis[0]["price_usdc"], "0.050000");

    let anybody = Consumer::new(host.admin_url(), None);
    let remove = || anybody.request(Method::DELETE, PATH).header("authorization", &format!("Bearer {token}"));
    remove().send().await?.expect(204)?;
    remove().send().await?.expect(404)?;
    let host = host.restart().await?;
    host.demo().call("demo/echo").json(&json!({})).send().await?.expect(404)?;

    // The same by command, with the owner's token.
    host.cli(&["push", folder.as_str(), "--to", host.admin_url(), "--token", &token]).await?.expect(0)?;
    let remove = ["plugins", "remove", "demo/echo", "--to", host.admin_url(), "--token", &token];
    host.cli(&remove).await?.expect(0)?;
    host.demo().call("demo/echo").json(&json!({})).send().await?.expect(404)?;
    Ok(())
}

#[tokio::test]
async fn nobody_pushes_what_is_another_owners() -> Test {
    let host = host().start().await?;
    let (demo, other) = (owner_token(&host, "demo").await?, owner_token(&host, "other").await?);
    let archive = echo("demo");
    let answer = put(&host, &other, PATH, &archive, &digest(&archive)).await?.expect(403)?;
    assert_eq!(answer.problem()?, "forbidden");
    // Under its own name, with an API of another's.
    let answer = put(&host, &other, "/admin/v1/plugins/other/echo", &archive, &digest(&archive)).await?.expect(403)?;
    assert!(answer.json()?["detail"].to_string().contains("demo/echo"), "{answer:?}");
    // Nor does an operator mix them up.
    let token = operator(&host)?;
    put(&host, &token, "/admin/v1/plugins/other/echo", &archive, &digest(&archive)).await?.expect(403)?;
    let answer = put(&host, &token, "/admin/v1/plugins/demo/report", &archive, &digest(&archive)).await?.expect(422)?;
    assert_eq!(answer.problem()?, "plugin-refused");
    nothing_was_kept(&host).await?;
    put(&host, &demo, PATH, &archive, &digest(&archive)).await?.expect(202)?;
    host.serves(&host.demo(), "demo/echo").await
}

#[tokio::test]
async fn an_upload_that_is_too_large_is_refused_whether_it_says_so_or_not() -> Test {
    let host = host().config("[push]\nbytes_max = \"64 KiB\"").start().await?;
    let token = operator(&host)?;
    let large = archive(&[("echo.wasm", EntryType::Regular, &vec![7; 300_000])]);
    let answer = put(&host, &token, PATH, &large, &digest(&large)).await?.expect(413)?;
    assert_eq!((answer.problem()?.as_str(), &answer.json()?["bytes_max"]), ("body-too-large", &json!(65536)));
    // In chunks, without a length.
    let mut stream = connect(&host)?;
    write!(stream, "{}transfer-encoding: chunked\r\n\r\n", head(&host, &digest(&large))?)?;
    for chunk in large.chunks(10_000) {
        write!(stream, "{:x}\r\n", chunk.len())?;
        stream.write_all(chunk)?;
        stream.write_all(b"\r\n")?;
    }
    stream.write_all(b"0\r\n\r\n")?;
    assert!(read_head(stream)?.starts_with("HTTP/1.1 413"));
    // Who asks first is answered before anything is sent.
    let mut stream = connect(&host)?;
    write!(stream, "{}content-length: 9999999999\r\nexpect: 100-continue\r\n\r\n", head(&host, &digest(&large))?)?;
    assert!(read_head(stream)?.starts_with("HTTP/1.1 413"));
    let folder = host.stage().join("echo");
    Plugin::one("echo", vec![7; 300_000]).write(&folder)?;
    let refused = host.cli(&["push", folder.as_str()]).await?.expect(1)?;
    assert!(refused.stderr.contains("bytes_max"), "{refused:?}");
    nothing_was_kept(&host).await
}

fn connect(host: &Host) -> anyhow::Result<TcpStream> {
    let stream = TcpStream::connect(host.admin_url().trim_start_matches("http://"))?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    Ok(stream)
}

/// The beginning of an upload; its length and an empty line are still to come.
fn head(host: &Host, digest: &str) -> anyhow::Result<String> {
    let token = operator(host)?;
    Ok(format!(
        "PUT {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-type: application/x-tar\r\ncontent-digest: {digest}\r\n"
    ))
}

fn read_head(mut stream: TcpStream) -> anyhow::Result<String> {
    use std::io::Read as _;
    let (mut text, mut buffer) = (Vec::new(), [0; 4096]);
    while !text.windows(4).any(|window| window == b"\r\n\r\n") {
        let read = stream.read(&mut buffer).context("reading an answer")?;
        anyhow::ensure!(read > 0, "no answer");
        text.extend_from_slice(&buffer[..read]);
    }
    Ok(String::from_utf8_lossy(&text).into_owned())
}

#[tokio::test]
async fn a_torn_upload_leaves_nothing_behind() -> Test {
    let host = host().start().await?;
    let (token, whole) = (operator(&host)?, echo("demo"));
    // The connection is cut half way.
    let mut stream = connect(&host)?;
    write!(stream, "{}content-length: {}\r\n\r\n", head(&host, &digest(&whole))?, whole.len())?;
    stream.write_all(&whole[..whole.len() / 2])?;
    drop(stream);
    let half = &whole[..whole.len() / 2];
    until("the host hears of the cut", Duration::from_secs(10), async || {
        let answer = put(&host, &token, PATH, half, &digest(&whole)).await?;
        Ok((answer.status != 503).then_some(()))
    })
    .await?;
    // Half of it, as if it were all.
    for (body, digest) in
        [(half, digest(&whole)), (&whole[..], digest(half)), (&whole[..], "sha-256=:AAAA:".to_owned())]
    {
        let answer = put(&host, &token, PATH, body, &digest).await?.expect(400)?;
        assert_eq!(answer.problem()?, "upload-torn");
    }
    let anybody = Consumer::new(host.admin_url(), None);
    let call = || anybody.request(Method::PUT, PATH).header("authorization", &format!("Bearer {token}"));
    let without = call().raw("application/x-tar", whole.clone()).send().await?.expect(400)?;
    assert_eq!(without.problem()?, "upload-torn", "no digest");
    let wrong = call().header("content-digest", &digest(&whole)).raw("application/json", whole.clone()).send().await?;
    assert_eq!(wrong.expect(415)?.problem()?, "unsupported-media-type");
    // Half an archive with its own digest is whole as an upload and not as an archive.
    let answer = put(&host, &token, PATH, half, &digest(half)).await?.expect(400)?;
    assert_eq!(answer.problem()?, "invalid-archive");
    nothing_was_kept(&host).await?;
    put(&host, &token, PATH, &whole, &digest(&whole)).await?.expect(202)?;
    host.serves(&host.demo(), "demo/echo").await
}

#[tokio::test]
async fn an_archive_that_reaches_out_of_its_folder_is_refused() -> Test {
    let host = host().start().await?;
    let (token, good, component) = (operator(&host)?, manifest("demo"), guests::echo());
    let regular = EntryType::Regular;
    let outside = host.data().parent().context("a folder")?.join("planted.wasm");
    let absolute = outside.as_str().chars().take(99).collect::<String>();
    for (name, kind) in [
        ("../planted.wasm", regular),
        ("cases/../../planted.json", regular),
        (absolute.as_str(), regular),
        ("/planted.wasm", regular),
        ("link.wasm", EntryType::Symlink),
        ("hard.wasm", EntryType::Link),
        ("null.wasm", EntryType::Char),
        ("cases", EntryType::Directory),
        ("echo.wasm", regular),
        ("run.sh", regular),
    ] {
        let with = archive(&[
            ("plugin.toml", regular, good.as_bytes()),
            ("echo.wasm", regular, component.as_ref()),
            (name, kind, b""),
        ]);
        let answer = put(&host, &token, PATH, &with, &digest(&with)).await?.expect(400).context(name.to_owned())?;
        assert_eq!(answer.problem()?, "invalid-archive", "{name}");
        assert!(answer.json()?["detail"].as_str().unwrap_or_default().contains(name), "{name}: {answer:?}");
    }
    // Plain, and named by nobody.
    let with = archive(&[
        ("plugin.toml", regular, good.as_bytes()),
        ("echo.wasm", regular, component.as_ref()),
        ("more.wasm", regular, b"x"),
    ]);
    let answer = put(&host, &token, PATH, &with, &digest(&with)).await?.expect(422)?;
    assert!(answer.json()?["detail"].to_string().contains("more.wasm"), "{answer:?}");
    assert!(!outside.exists());
    nothing_was_kept(&host).await
}

#[tokio::test]
async fn what_a_folder_serves_first_stays_its_own() -> Test {
    let theirs = Plugin::new("in-the-folder", [Api::new("demo", "echo", guests::echo())]);
    let host = host().plugin(&theirs).start().await?;
    let folder = host.stage().join("pushed");
    Plugin::one("echo", guests::echo()).write(&folder)?;
    let rejected = host.cli(&["push", folder.as_str()]).await?.expect(1)?;
    assert!(rejected.stdout.contains("rejected") && rejected.stdout.contains("in-the-folder"), "{rejected:?}");
    assert!(rejected.stderr.contains("nothing serves"), "{rejected:?}");
    answers(&host.demo()).await?;
    let status = host.cli(&["status"]).await?.expect(0)?.stdout;
    assert!(status.contains("demo/echo") && status.contains("rejected"), "{status}");
    // It stays so over a restart.
    let host = host.restart().await?;
    let status = until("the pushed one is judged", Duration::from_secs(10), async || {
        let status: Value = host.admin(Method::GET, PATH).await?.expect(200)?.json()?;
        Ok((status["state"] == "rejected").then_some(status))
    });
    assert!(status.await?["reason"].to_string().contains("in-the-folder"));
    answers(&host.demo()).await
}

#[tokio::test]
async fn a_plugin_that_cannot_serve_is_rejected_and_the_one_before_it_serves_on() -> Test {
    let host = host().start().await?;
    let folder = host.stage().join("echo");
    Plugin::one("echo", guests::echo()).write(&folder)?;
    host.cli(&["push", folder.as_str()]).await?.expect(0)?;
    Plugin::one("echo", b"no component".to_vec()).write(&folder)?;
    let rejected = host.cli(&["push", folder.as_str()]).await?.expect(1)?;
    assert!(rejected.stdout.contains("rejected at") && rejected.stderr.contains("revision"), "{rejected:?}");
    answers(&host.demo()).await?;
    // What is wrong with a manifest is said before anything is sent.
    Plugin::one("echo", guests::echo()).with_manifest(|text| text.replace("slug", "slgu")).write(&folder)?;
    let refused = host.cli(&["push", folder.as_str()]).await?.expect(1)?;
    assert!(refused.stderr.contains("slgu") && !refused.stdout.contains("sending"), "{refused:?}");
    Ok(())
}

#[tokio::test]
async fn a_third_upload_at_once_is_told_to_come_again() -> Test {
    let host = host().start().await?;
    let (token, whole) = (operator(&host)?, echo("demo"));
    let mut begun = Vec::new();
    for _ in 0..3 {
        let mut stream = connect(&host)?;
        write!(stream, "{}content-length: {}\r\n\r\n", head(&host, &digest(&whole))?, whole.len())?;
        stream.write_all(&whole[..whole.len() / 2])?;
        stream.set_nonblocking(true)?;
        begun.push(stream);
    }
    // Whichever came last is refused; the two others wait for the rest of theirs.
    let refused = until("a refusal", Duration::from_secs(10), async || {
        Ok(begun.iter().position(|stream| stream.peek(&mut [0]).is_ok_and(|read| read > 0)))
    });
    let refused = begun.swap_remove(refused.await?);
    refused.set_nonblocking(false)?;
    assert!(read_head(refused)?.starts_with("HTTP/1.1 503"));
    let answer = put(&host, &token, PATH, &whole, &digest(&whole)).await?.expect(503)?;
    assert_eq!((answer.problem()?.as_str(), answer.header("retry-after")), ("overloaded", Some("5")));
    drop(begun);
    until("room again", Duration::from_secs(10), async || {
        let answer = put(&host, &token, PATH, &whole, &digest(&whole)).await?;
        Ok((answer.status == 202).then_some(()))
    })
    .await
}

/// The digests that a text names as revisions, shortened as they are shown.
fn revisions(text: &str) -> Vec<&str> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let named = words.windows(2).filter(|pair| pair[0] == "revision");
    named.map(|pair| &pair[1].trim_end_matches([',', ':'])[..12]).collect()
}

#[tokio::test]
async fn the_revision_that_is_checked_and_sent_is_the_one_that_serves_whoever_pushes_it() -> Test {
    let host = host().start().await?;
    let owner = owner_token(&host, "demo").await?;
    let folder = host.stage().join("up");
    upstream::plugin("http://127.0.0.1:1/", "").write(&folder)?;
    let checked = host.cli(&["check", folder.as_str(), "--json"]).await?.expect(0)?.json()?;
    for (token, digest) in [(&operator(&host)?, "digest"), (&owner, "digest_by_owner")] {
        let pushed =
            host.cli(&["push", folder.as_str(), "--to", host.admin_url(), "--token", token]).await?.expect(0)?;
        let checked = &checked["plugin"][digest].as_str().context(digest)?[..12];
        let told = revisions(&pushed.stdout);
        assert!(told.len() == 2 && told.iter().all(|told| *told == checked), "{told:?} is not {checked}: {pushed:?}");
        let status = host.admin(Method::GET, "/admin/v1/plugins/demo/up").await?.expect(200)?.json()?;
        assert_eq!(&status["active"].as_str().context("it serves")?[..12], checked);
    }
    Ok(())
}

#[tokio::test]
async fn an_owner_undoes_a_rollback_as_the_status_says_and_does_not_end_the_operators_stop() -> Test {
    let host = host().start().await?;
    let (own, other) = (owner_token(&host, "demo").await?, owner_token(&host, "other").await?);
    let folder = host.stage().join("echo");
    let as_owner = async |token: &str, arguments: &[&str]| {
        host.cli(&[arguments, &["--to", host.admin_url(), "--token", token]].concat()).await
    };
    for version in ["1.0.0", "2.0.0"] {
        let plugin = Plugin::one("echo", guests::echo());
        plugin.with_manifest(|text| text.replace("1.0.0", version)).write(&folder)?;
        as_owner(&own, &["push", folder.as_str()]).await?.expect(0)?;
    }
    as_owner(&own, &["rollback", "demo/echo"]).await?.expect(0)?;
    let status = as_owner(&own, &["status"]).await?.expect(0)?.stdout;
    assert!(status.contains("1.0.0: quarantined") && status.contains("`ripost plugins start demo/echo`"), "{status}");
    let refused = as_owner(&other, &["plugins", "start", "demo/echo"]).await?.expect(1)?;
    assert!(refused.stderr.contains("there is no plugin `demo/echo`"), "{refused:?}");
    as_owner(&own, &["plugins", "start", "demo/echo"]).await?.expect(0)?;
    until("the newer revision serves", Duration::from_secs(10), async || {
        let status = as_owner(&own, &["status"]).await?.expect(0)?.stdout;
        Ok(status.contains("2.0.0: active").then_some(()))
    })
    .await?;
    host.cli(&["plugins", "stop", "demo/echo"]).await?.expect(0)?;
    let refused = as_owner(&own, &["plugins", "start", "demo/echo"]).await?.expect(1)?;
    assert!(refused.stderr.contains("only the operator starts it again"), "{refused:?}");
    host.cli(&["plugins", "start", "demo/echo"]).await?.expect(0)?;
    Ok(())
}
