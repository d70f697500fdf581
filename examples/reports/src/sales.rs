//! The data set: an endless sequence of sales, the same for the same seed.

pub(crate) const REGIONS: [&str; 4] = ["north", "east", "south", "west"];
pub(crate) const PRODUCTS: [&str; 6] = ["anvil", "bellows", "chisel", "drill", "easel", "forge"];
pub(crate) const MONTHS: usize = 12;

/// The least that one of a product costs, in cents, in the order of [`PRODUCTS`].
const BASE_CENTS: [u32; 6] = [4_900, 2_250, 780, 8_990, 3_100, 64_500];
/// A price is the base plus less than this, in cents.
const SPREAD_CENTS: u64 = 1_000;
const QUANTITY_MAX: u64 = 20;

/// One row.
pub(crate) struct Sale {
    /// Index into [`REGIONS`].
    pub(crate) region: usize,
    /// Index into [`PRODUCTS`].
    pub(crate) product: usize,
    /// 0 is January.
    pub(crate) month: usize,
    pub(crate) quantity: u32,
    pub(crate) revenue_cents: u32,
}

/// splitmix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014), one number a sale.
pub(crate) struct Sales {
    state: u64,
}

impl Sales {
    pub(crate) fn of(seed: u64) -> Self {
        Self { state: seed }
    }

    pub(crate) fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Iterator for Sales {
    type Item = Sale;

    /// Cuts one number into fields of their own bits. Every result is below its modulus, so no cast loses anything.
    fn next(&mut self) -> Option<Sale> {
        let z = self.draw();
        let region = ((z & 0xff) % REGIONS.len() as u64) as usize;
        let product = ((z >> 8 & 0xff) % PRODUCTS.len() as u64) as usize;
        let month = ((z >> 16 & 0xff) % MONTHS as u64) as usize;
        let quantity = (1 + (z >> 24 & 0xff) % QUANTITY_MAX) as u32;
        let price_cents = BASE_CENTS[product] + ((z >> 32) % SPREAD_CENTS) as u32;
        Some(Sale { region, product, month, quantity, revenue_cents: quantity * price_cents })
    }
}
