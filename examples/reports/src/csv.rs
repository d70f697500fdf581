//! A report as CSV: one line for each region, product and month that sold something.

use std::fmt::Write;

use crate::{
    report::{Report, month_name},
    sales::{PRODUCTS, REGIONS},
};

/// No name holds a comma, a quote or a line break, so nothing needs quoting.
pub(crate) fn lines(report: &Report) -> String {
    let mut csv = String::from("region,product,month,sales,units,revenue_cents\r\n");
    for ([region, product, month], sums) in report.cells().filter(|(_, sums)| sums.sales > 0) {
        let (region, product, month) = (REGIONS[region], PRODUCTS[product], month_name(month));
        let (sales, units, revenue_cents) = (sums.sales, sums.units, sums.revenue_cents);
        write!(csv, "{region},{product},{month},{sales},{units},{revenue_cents}\r\n")
            .expect("writing to a String cannot fail");
    }
    csv
}
