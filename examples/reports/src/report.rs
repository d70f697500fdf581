//! What is reported: sums of every region, product and month, and figures of the whole.

use serde::Serialize;

use crate::sales::{MONTHS, PRODUCTS, REGIONS, Sale};

const CELLS: usize = REGIONS.len() * PRODUCTS.len() * MONTHS;

/// Sums of some sales.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sums {
    pub(crate) sales: u64,
    pub(crate) units: u64,
    pub(crate) revenue_cents: u64,
}

impl Sums {
    fn add(&mut self, other: Self) {
        self.sales += other.sales;
        self.units += other.units;
        self.revenue_cents += other.revenue_cents;
    }
}

/// One line of a breakdown.
#[derive(Serialize)]
pub(crate) struct Line {
    name: String,
    sales: u64,
    units: u64,
    revenue_cents: u64,
}

/// The same revenue, seen from three sides.
#[derive(Serialize)]
pub(crate) struct Breakdown {
    title: &'static str,
    currency: &'static str,
    by_region: Vec<Line>,
    by_product: Vec<Line>,
    by_month: Vec<Line>,
}

/// Figures of the whole data set.
#[derive(Serialize)]
pub(crate) struct Totals {
    pub(crate) units: u64,
    pub(crate) revenue_cents: u64,
    /// Rounded down.
    mean_sale_cents: u64,
    /// The lower of the middle two when their number is even.
    median_sale_cents: u32,
    smallest_sale_cents: u32,
    largest_sale_cents: u32,
}

/// Everything that was added, by region, product and month.
pub(crate) struct Report {
    cells: [Sums; CELLS],
    revenues_cents: Vec<u32>,
}

impl Report {
    pub(crate) fn with_capacity(rows: usize) -> Self {
        Self { cells: [Sums::default(); CELLS], revenues_cents: Vec::with_capacity(rows) }
    }

    pub(crate) fn add(&mut self, sale: &Sale) {
        let cell = (sale.region * PRODUCTS.len() + sale.product) * MONTHS + sale.month;
        self.cells[cell].add(Sums {
            sales: 1,
            units: u64::from(sale.quantity),
            revenue_cents: u64::from(sale.revenue_cents),
        });
        self.revenues_cents.push(sale.revenue_cents);
    }

    /// Indices of region, product and month with their sums, in that order.
    pub(crate) fn cells(&self) -> impl Iterator<Item = ([usize; 3], Sums)> {
        self.cells.iter().enumerate().map(|(cell, sums)| {
            ([cell / (PRODUCTS.len() * MONTHS), cell / MONTHS % PRODUCTS.len(), cell % MONTHS], *sums)
        })
    }

    pub(crate) fn breakdown(&self) -> Breakdown {
        Breakdown {
            title: "Sales by region, product and month",
            currency: "USD",
            by_region: self.lines(0, REGIONS.map(str::to_owned).to_vec()),
            by_product: self.lines(1, PRODUCTS.map(str::to_owned).to_vec()),
            by_month: self.lines(2, (0..MONTHS).map(month_name).collect()),
        }
    }

    fn lines(&self, side: usize, names: Vec<String>) -> Vec<Line> {
        let mut sums = vec![Sums::default(); names.len()];
        for (indices, cell) in self.cells() {
            sums[indices[side]].add(cell);
        }
        let line = |(name, sums): (String, Sums)| Line {
            name,
            sales: sums.sales,
            units: sums.units,
            revenue_cents: sums.revenue_cents,
        };
        names.into_iter().zip(sums).map(line).collect()
    }

    /// There is at least one sale: `rows` begins at 1. Reorders the revenues, whose order nothing rests on.
    pub(crate) fn totals(&mut self) -> Totals {
        let mut sums = Sums::default();
        self.cells.iter().for_each(|cell| sums.add(*cell));
        let middle = (self.revenues_cents.len() - 1) / 2;
        let (below, median, above) = self.revenues_cents.select_nth_unstable(middle);
        Totals {
            units: sums.units,
            revenue_cents: sums.revenue_cents,
            mean_sale_cents: sums.revenue_cents / sums.sales,
            median_sale_cents: *median,
            smallest_sale_cents: below.iter().copied().min().unwrap_or(*median),
            largest_sale_cents: above.iter().copied().max().unwrap_or(*median),
        }
    }
}

/// `2025-01` for 0: the data set is of one year.
pub(crate) fn month_name(month: usize) -> String {
    format!("2025-{:02}", month + 1)
}
