//! A hasher for numbers that stand for something: codes, views of texts. They are small and close to each other, or differ
//! in a few bytes.

use std::hash::Hasher;

/// Hashes numbers by multiplying them and folding the product.
#[derive(Default)]
pub(super) struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u128(&mut self, number: u128) {
        self.write_u64(number as u64);
        self.write_u64((number >> 64) as u64);
    }

    fn write_u64(&mut self, number: u64) {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        let product = u128::from(self.0 ^ number ^ ODD).wrapping_mul(u128::from(ODD));
        self.0 = product as u64 ^ (product >> 64) as u64;
    }
}
