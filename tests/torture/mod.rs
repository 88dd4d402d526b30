//! Torture: disks that lose what was not synced, that fail, whose files are damaged; and what was acknowledged is there all
//! the same, once. A short run of each is a test; the long one is `make torture`.

mod damage;
mod disk;
mod faults;
mod power;
mod world;

/// How many times as long as in the tests everything goes on.
fn times() -> usize {
    std::env::var("WEIR_TORTURE").ok().and_then(|times| times.parse().ok()).unwrap_or(1)
}

/// Numbers that look random and are the same for the same seed.
#[derive(Debug, Clone)]
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }
}
