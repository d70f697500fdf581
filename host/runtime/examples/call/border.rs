//! Where the large engine begins to win: guests with the same work and more and more first memory.

use bytes::Bytes;
use ripost_runtime::Scheme;
use serde_json::json;

use crate::Guest as Loaded;
use crate::common::Guest;

/// First memories, in pages of 64 KiB.
const PAGES: [u32; 9] = [2, 4, 8, 16, 24, 32, 64, 128, 256];
const PAGE_BYTES: u32 = 64 << 10;

/// Shares of the memory that are data segments (what an engine has to initialise) and that a call writes to.
const SHAPES: [(&str, u32, u32); 2] = [("little used", 16, 16), ("half used", 4, 2)];

pub(crate) fn measure(rounds: usize) {
    for (shape, data_share, touch_share) in SHAPES {
        for pages in PAGES {
            let wasm = guest(pages, pages * PAGE_BYTES / data_share, pages * PAGE_BYTES / touch_share);
            for scheme in [Scheme::Small, Scheme::Large] {
                let loaded = Loaded::load(&wasm, scheme);
                for threads in [1, 2] {
                    let mut line = loaded.cost(threads, &Bytes::from_static(b"{}"), rounds).json(scheme, threads);
                    line["shape"] = json!(shape);
                    line["pages"] = json!(pages);
                    println!("{line}");
                }
            }
        }
    }
}

/// Echoes, after it has written one byte in each 4 KiB of the first `touched` bytes. Its data is random enough not to be
/// left out: the second half of a page is never zero.
fn guest(pages: u32, data: u32, touched: u32) -> Vec<u8> {
    // Below it are the answer and what the call brings.
    let from = 16 << 10;
    let data = "\\a5".repeat(data.saturating_sub(from).max(64) as usize);
    Guest::new(&format!(
        "(local.set $i (i32.const {from}))
         (loop $touch
           (i32.store8 offset=7 (local.get $i) (i32.const 1))
           (local.set $i (i32.add (local.get $i) (i32.const 4096)))
           (br_if $touch (i32.lt_u (local.get $i) (i32.const {touched}))))
         (call $respond (i32.const 200) (i32.load offset=72 (local.get $request)) (i32.load offset=76 (local.get $request)))"
    ))
    .items(&format!("(data (i32.const {from}) \"{data}\")"))
    .pages(pages)
    .wasm()
}
