//! The figures here were computed by the Python of README.md, not by this crate.

use std::error::Error;

use ripost_sdk::{Context, Failure, FromRequest, Json, Response, Verdict, testing::request};
use serde_json::{Value, json};

type Tested = Result<(), Box<dyn Error>>;

fn call(ctx: &Context, body: &Value) -> Result<Response, Failure> {
    super::reports(ctx, Json::from_request(request(body.to_string()))?)
}

fn answer(body: &Value) -> Result<Value, Box<dyn Error>> {
    let response = call(&Context::test(), body).map_err(|failure| format!("{failure:?}"))?;
    assert_eq!((response.status, response.headers.get("content-type")), (200, Some("application/json")));
    Ok(serde_json::from_slice(&response.body)?)
}

#[test]
fn the_seeds_call_reports_on_the_default_data_set() -> Tested {
    let answer = answer(&json!({ "action": "generate-report", "format": "json" }))?;
    assert_eq!(answer["records"], 50_000);
    assert_eq!(answer["generated_at"], "2026-01-01T00:00:00.000Z");
    assert_eq!(
        answer["totals"],
        json!({
            "units": 519_884,
            "revenue_cents": 7_483_212_717_u64,
            "mean_sale_cents": 149_664,
            "median_sale_cents": 44_356,
            "smallest_sale_cents": 788,
            "largest_sale_cents": 1_309_860,
        })
    );
    let line = |name: &str, sales: u64, units: u64, revenue_cents: u64| json!({ "name": name, "sales": sales, "units": units, "revenue_cents": revenue_cents });
    let report = &answer["report"];
    assert_eq!(report["by_region"][2], line("south", 12_510, 130_611, 1_841_870_074));
    assert_eq!(report["by_product"][5], line("forge", 8_194, 84_890, 5_517_703_547));
    assert_eq!(report["by_month"][11], line("2025-12", 4_013, 41_549, 577_858_261));
    Ok(())
}

#[test]
fn another_seed_or_row_count_gives_other_totals() -> Tested {
    // rows, seed, units, revenue, mean, median, smallest, largest
    let known: [[u64; 8]; 4] = [
        [50_000, 8, 517_909, 7_552_760_466, 151_055, 43_875, 781, 1_309_940],
        [1_000, 7, 10_494, 146_629_911, 146_629, 42_426, 788, 1_307_440],
        [1, 0, 4, 9_132, 9_132, 9_132, 9_132, 9_132],
        [1_000_000, 9_007_199_254_740_991, 10_383_766, 149_658_899_141, 149_658, 44_148, 780, 1_309_980],
    ];
    for [rows, seed, units, revenue, mean, median, smallest, largest] in known {
        let body = json!({ "action": "generate-report", "format": "json", "rows": rows, "seed": seed });
        let answer = answer(&body)?;
        let expected = json!({
            "units": units,
            "revenue_cents": revenue,
            "mean_sale_cents": mean,
            "median_sale_cents": median,
            "smallest_sale_cents": smallest,
            "largest_sale_cents": largest,
        });
        assert_eq!((&answer["records"], &answer["totals"]), (&json!(rows), &expected), "rows {rows}, seed {seed}");
    }
    Ok(())
}

#[test]
fn each_side_of_the_report_adds_up_to_the_totals() -> Tested {
    let answer = answer(&json!({ "action": "generate-report", "format": "json", "rows": 12_345, "seed": 99 }))?;
    for side in ["by_region", "by_product", "by_month"] {
        let lines = answer["report"][side].as_array().ok_or(side)?;
        let sum = |field: &str| lines.iter().filter_map(|line| line[field].as_u64()).sum::<u64>();
        assert_eq!(Some(sum("sales")), answer["records"].as_u64(), "{side}");
        assert_eq!(Some(sum("units")), answer["totals"]["units"].as_u64(), "{side}");
        assert_eq!(Some(sum("revenue_cents")), answer["totals"]["revenue_cents"].as_u64(), "{side}");
    }
    Ok(())
}

#[test]
fn csv_has_a_line_for_each_region_product_and_month_and_the_same_revenue() -> Tested {
    let body = json!({ "action": "generate-report", "format": "csv", "rows": 50_000, "seed": 7 });
    let response = call(&Context::test(), &body).map_err(|failure| format!("{failure:?}"))?;
    assert_eq!(response.headers.get("content-type"), Some("text/csv; charset=utf-8"));
    let csv = String::from_utf8(response.body)?;
    let mut lines = csv.split_terminator("\r\n");
    assert_eq!(lines.next(), Some("region,product,month,sales,units,revenue_cents"));
    let lines: Vec<&str> = lines.collect();
    assert_eq!(lines.len(), 4 * 6 * 12);
    assert!(lines[0].starts_with("north,anvil,2025-01,"), "{}", lines[0]);
    let column = |n: usize| -> Result<u64, Box<dyn Error>> {
        let cells = lines.iter().map(|line| line.split(',').nth(n).ok_or("a short line"));
        cells.map(|cell| Ok(cell?.parse::<u64>()?)).sum()
    };
    assert_eq!((column(3)?, column(4)?, column(5)?), (50_000, 519_884, 7_483_212_717));
    Ok(())
}

#[test]
fn csv_of_few_sales_leaves_out_what_sold_nothing() -> Tested {
    let body = json!({ "action": "generate-report", "format": "csv", "rows": 1, "seed": 0 });
    let response = call(&Context::test(), &body).map_err(|failure| format!("{failure:?}"))?;
    let csv = String::from_utf8(response.body)?;
    assert_eq!(csv, "region,product,month,sales,units,revenue_cents\r\nwest,bellows,2025-06,1,4,9132\r\n");
    Ok(())
}

#[test]
fn what_the_api_does_not_know_is_the_consumers_mistake() {
    for (body, kind, said) in [
        (json!({ "action": "dance", "format": "json" }), "unexpected-json", "expected `generate-report`"),
        (json!({ "action": "generate-report", "format": "pdf" }), "unexpected-json", "expected `json` or `csv`"),
        (json!({ "action": "generate-report" }), "unexpected-json", "missing field `format`"),
        (json!({ "format": "csv" }), "unexpected-json", "missing field `action`"),
        (json!({ "action": "generate-report", "format": "csv", "rows": 0 }), "rows-out-of-range", "`rows` is 0"),
        (json!({ "action": "generate-report", "format": "csv", "rows": 1_000_001 }), "rows-out-of-range", "1000001"),
        (json!({ "action": "generate-report", "format": "csv", "rows": -1 }), "unexpected-json", "at `rows`"),
        (
            json!({ "action": "generate-report", "format": "csv", "seed": 9_007_199_254_740_992_u64 }),
            "seed-out-of-range",
            "9007199254740992",
        ),
        (json!("generate-report"), "unexpected-json", "invalid type"),
    ] {
        match call(&Context::test(), &body) {
            Ok(response) => panic!("{body} was answered: {response:?}"),
            Err(failure) => {
                let problem = failure.problem();
                assert_eq!((failure.verdict(), problem.kind.as_str()), (Verdict::Invalid, kind), "{body}");
                let detail = problem.detail.as_deref().unwrap_or_default();
                assert!(detail.contains(said), "{body}: {detail}");
            }
        }
    }
}

#[test]
fn fields_that_are_not_for_this_api_are_ignored() -> Tested {
    let body = json!({ "action": "generate-report", "format": "json", "rows": 10, "seed": 1, "note": "for Ada" });
    assert_eq!(answer(&body)?["records"], 10);
    Ok(())
}

#[test]
fn progress_grows_and_the_owner_reads_what_was_reported_on() -> Tested {
    let ctx = Context::test();
    call(&ctx, &json!({ "action": "generate-report", "format": "json", "rows": 10, "seed": 1 }))
        .map_err(|failure| format!("{failure:?}"))?;
    let percents: Vec<_> = ctx.recorded().progress().iter().filter_map(|report| report.percent).collect();
    assert_eq!(percents, [20, 40, 60, 80, 90]);
    assert_eq!(ctx.recorded().progress()[1].message, "5 of 10 rows");
    assert_eq!(ctx.recorded().logs()[0].fields[0], ("rows".to_owned(), "10".to_owned()));
    Ok(())
}

#[test]
fn a_cancelled_report_stops_before_it_is_made() {
    let ctx = Context::test();
    ctx.recorded().cancel();
    let failure = call(&ctx, &json!({ "action": "generate-report", "format": "json" })).err();
    assert_eq!(failure.map(|failure| failure.problem().kind.clone()).as_deref(), Some("cancelled"));
    assert!(ctx.recorded().progress().is_empty());
}
