use super::record::Written;
use super::{read_tape, write_tape};
use bytes::Bytes;
use ripost_runtime::{CallState, Entries, OutboundResponse, RecordedCall, Remains, Step, Times};

fn entries(body: usize) -> Entries {
    let done = OutboundResponse {
        status: 200,
        headers: vec![("x".to_owned(), Bytes::from_static(b"\xff"))],
        body: vec![7; body].into(),
    };
    let call =
        |nth, state| RecordedCall { scope: "charge".to_owned(), input: Some([1; 32]), digest: [2; 32], nth, state };
    Entries {
        steps: vec![Step { name: "charge".to_owned(), input: [3; 32], value: Bytes::from_static(b"v") }],
        calls: vec![
            call(0, CallState::Intent),
            call(1, CallState::Done(done)),
            call(2, CallState::Refused("too long".to_owned())),
            call(3, CallState::Failed),
        ],
        times: vec![Times { scope: String::new(), first: 2, millis: vec![5, 6] }],
    }
}

#[test]
fn what_a_run_was_told_survives_the_store() {
    let remains = Remains { entries: entries(3), lossy: false };
    let tape = write_tape(Some(&remains)).unwrap();
    let read = read_tape(Some(&tape)).unwrap();
    assert_eq!(serde_json::to_vec(&read).unwrap(), tape);
    let written = Written::of(&remains.entries);
    assert_eq!(serde_json::from_value::<Written>(serde_json::to_value(&written).unwrap()).unwrap(), written);
    assert_eq!(write_tape(None), None);
    assert_eq!(read_tape(None).unwrap(), super::record::Tape::default());
}

#[test]
fn of_what_is_too_long_it_is_kept_that_there_was_more() {
    let remains = Remains { entries: entries(100_000), lossy: false };
    let tape = write_tape(Some(&remains)).unwrap();
    assert!(tape.len() < 100, "{}", tape.len());
    assert!(String::from_utf8_lossy(&tape).contains("\"lossy\":true"));
}
