//! What `examples/reports` must answer, worked out a second time from its README: all rows are made first, as a table,
//! then filtered and sorted; nothing is shared with the example's code.

use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The rows of a call that says nothing.
pub const ROWS: u64 = 50_000;
/// The seed of a call that says nothing.
pub const SEED: u64 = 7;

const REGIONS: [&str; 4] = ["north", "east", "south", "west"];
const PRODUCTS: [(&str, u64); 6] =
    [("anvil", 4900), ("bellows", 2250), ("chisel", 780), ("drill", 8990), ("easel", 3100), ("forge", 64_500)];

struct Row {
    region: &'static str,
    product: &'static str,
    month: String,
    quantity: u64,
    cents: u64,
}

fn row(number: u64, seed: u64) -> Row {
    // The state after `number` steps, without taking them.
    let state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(seed);
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let bytes = (z ^ (z >> 31)).to_le_bytes();
    let upper = u64::from(u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]));
    let (product, base) = PRODUCTS[usize::from(bytes[1]) % PRODUCTS.len()];
    let quantity = u64::from(bytes[3] % 20) + 1;
    Row {
        region: REGIONS[usize::from(bytes[0]) % REGIONS.len()],
        product,
        month: format!("2025-{:02}", bytes[2] % 12 + 1),
        quantity,
        cents: quantity * (base + upper % 1000),
    }
}

fn table(rows: u64, seed: u64) -> Vec<Row> {
    (1..=rows).map(|number| row(number, seed)).collect()
}

/// `totals` of the answer in JSON.
#[must_use]
pub fn totals(rows: u64, seed: u64) -> Value {
    let table = table(rows, seed);
    let mut cents: Vec<u64> = table.iter().map(|row| row.cents).collect();
    cents.sort_unstable();
    let sum: u64 = cents.iter().sum();
    json!({
        "units": table.iter().map(|row| row.quantity).sum::<u64>(),
        "revenue_cents": sum,
        "mean_sale_cents": sum / rows,
        "median_sale_cents": cents[(cents.len() - 1) / 2],
        "smallest_sale_cents": cents.first(),
        "largest_sale_cents": cents.last(),
    })
}

/// One breakdown of the answer in JSON, `by_region`, `by_product` or `by_month`: revenue in cents by name.
///
/// # Panics
/// For a breakdown of another name.
#[must_use]
pub fn revenue_by(side: &str, rows: u64, seed: u64) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for row in table(rows, seed) {
        let name = match side {
            "by_region" => row.region,
            "by_product" => row.product,
            "by_month" => &row.month,
            other => panic!("no breakdown is called {other}"),
        };
        *sums.entry(name.to_owned()).or_default() += row.cents;
    }
    sums
}

/// The answer in CSV, its lines sorted: region, product, month, sales, units, revenue.
#[must_use]
pub fn csv_lines(rows: u64, seed: u64) -> Vec<String> {
    let mut cells: BTreeMap<(String, String, String), [u64; 3]> = BTreeMap::new();
    for row in table(rows, seed) {
        let cell = cells.entry((row.region.to_owned(), row.product.to_owned(), row.month)).or_default();
        for (sum, more) in cell.iter_mut().zip([1, row.quantity, row.cents]) {
            *sum += more;
        }
    }
    let line = |((region, product, month), sums): ((String, String, String), [u64; 3])| {
        let [sales, units, cents] = sums;
        format!("{region},{product},{month},{sales},{units},{cents}")
    };
    let mut lines: Vec<String> = cells.into_iter().map(line).collect();
    lines.sort_unstable();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with the Python of the example's README.
    #[test]
    fn the_sum_is_that_of_the_python_in_the_readme() {
        assert_eq!(totals(ROWS, SEED)["revenue_cents"], PYTHON_SUM);
        assert_eq!(revenue_by("by_month", 1000, 1).values().sum::<u64>(), totals(1000, 1)["revenue_cents"]);
    }

    const PYTHON_SUM: u64 = 7_483_212_717;
}
