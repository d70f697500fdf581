//! Reports on a data set of sales: the API of the quickstart.
//!
//! Every call generates the data set that its `seed` stands for, sale by sale, and aggregates it. README.md says how,
//! so that anybody can check a report with a few lines of any language.

mod csv;
mod report;
mod sales;

use report::Report;
use ripost_sdk::{Context, Failure, Json, Response, time};
use sales::{Sale, Sales};
use serde::{Deserialize, Serialize};

const ROWS_DEFAULT: u32 = 50_000;
/// What fits into the default CPU limit with room to spare.
const ROWS_MAX: u32 = 1_000_000;
const SEED_DEFAULT: u64 = 7;
/// 2^53 - 1: what JSON carries through JavaScript unharmed.
const SEED_MAX: u64 = 9_007_199_254_740_991;
/// Progress is reported this often while the data set is generated.
const PARTS: u32 = 4;

#[derive(Deserialize)]
struct Order {
    // Read only to be refused when it is another.
    #[serde(rename = "action")]
    _action: Action,
    format: Format,
    #[serde(default = "rows_default")]
    rows: u32,
    #[serde(default = "seed_default")]
    seed: u64,
}

fn rows_default() -> u32 {
    ROWS_DEFAULT
}

fn seed_default() -> u64 {
    SEED_DEFAULT
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    GenerateReport,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    Json,
    Csv,
}

/// The answer in JSON.
#[derive(Serialize)]
struct Answer {
    report: report::Breakdown,
    records: u32,
    generated_at: String,
    totals: report::Totals,
}

#[ripost_sdk::handler]
fn reports(ctx: &Context, Json(order): Json<Order>) -> Result<Response, Failure> {
    check(&order)?;
    let mut report = generate(ctx, &order)?;
    let totals = report.totals();
    ripost_sdk::info!(ctx, rows = order.rows, seed = order.seed, "reported on {} cents", totals.revenue_cents);
    match order.format {
        Format::Csv => Ok(Response::bytes("text/csv; charset=utf-8", csv::lines(&report))
            .with_header("content-disposition", "attachment; filename=\"report.csv\"")),
        Format::Json => Response::json(&Answer {
            report: report.breakdown(),
            records: order.rows,
            generated_at: time::rfc3339(ctx.now_ms()),
            totals,
        }),
    }
}

fn check(order: &Order) -> Result<(), Failure> {
    if !(1..=ROWS_MAX).contains(&order.rows) {
        return Err(Failure::invalid("rows-out-of-range", "This API reports on 1 to 1000000 rows")
            .detail(format!("`rows` is {}", order.rows))
            .status(422));
    }
    if order.seed > SEED_MAX {
        return Err(Failure::invalid("seed-out-of-range", "A seed is a number from 0 to 2^53 - 1")
            .detail(format!("`seed` is {}", order.seed))
            .status(422));
    }
    Ok(())
}

fn generate(ctx: &Context, order: &Order) -> Result<Report, Failure> {
    let mut report = Report::with_capacity(order.rows as usize);
    let mut sales = Sales::of(order.seed);
    let mut made = 0;
    for part in 1..=PARTS {
        if ctx.cancelled() {
            return Err(Failure::failed("cancelled", "The report was cancelled").detail(format!("after {made} rows")));
        }
        // In u64: a million rows times the part does not fit for every bound one might choose later.
        let until = (u64::from(order.rows) * u64::from(part) / u64::from(PARTS)) as u32;
        sales.by_ref().take((until - made) as usize).for_each(|sale: Sale| report.add(&sale));
        made = until;
        ctx.progress(percent(part), &format!("{made} of {} rows", order.rows));
    }
    ctx.progress(90, "summing up");
    Ok(report)
}

/// Generating is the first 80 percent of the work.
fn percent(part: u32) -> u8 {
    (part * 80 / PARTS) as u8
}

#[cfg(test)]
mod tests;
