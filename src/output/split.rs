//! Cutting a batch into bodies that keep the limits of the intake.

use muster_actors::domain::delivery::{Contents, Encoded, Payload, Route};

use crate::config::settings::{BodyLimits, Compressor};

/// How items of one kind become a body.
pub struct Recipe<'a, T> {
    /// Where the bodies go.
    pub route: Route,
    /// What a body may hold.
    pub limits: BodyLimits,
    /// How a body is compressed.
    pub compressor: Compressor,
    /// What one item adds to the counts.
    pub contents: &'a dyn Fn(&T) -> Contents,
    /// Lower bound of the bytes one item adds before compression.
    ///
    /// Why: chunks are cut by this guess first; a chunk that turns out too large is halved.
    pub least_bytes: &'a dyn Fn(&T) -> u64,
    /// Writes a whole body.
    pub assemble: &'a dyn Fn(&[T]) -> Vec<u8>,
}

impl<T> Recipe<'_, T> {
    /// Encodes all items, in order.
    pub fn encode(&self, items: &[T], into: &mut Encoded) {
        let mut start = 0;
        let (mut bytes, mut points) = (0_u64, 0_u64);
        for (index, item) in items.iter().enumerate() {
            let (item_bytes, item_points) = ((self.least_bytes)(item), (self.contents)(item).points);
            let full = bytes + item_bytes > self.limits.uncompressed || points + item_points > self.limits.points;
            if full && index > start {
                self.emit(&items[start..index], into);
                start = index;
                (bytes, points) = (0, 0);
            }
            bytes += item_bytes;
            points += item_points;
        }
        self.emit(&items[start..], into);
    }

    fn emit(&self, chunk: &[T], into: &mut Encoded) {
        if chunk.is_empty() {
            return;
        }
        let body = (self.assemble)(chunk);
        if body.len() as u64 > self.limits.uncompressed {
            self.halve(chunk, into);
            return;
        }
        let mut contents = Contents::default();
        for item in chunk {
            contents += (self.contents)(item);
        }
        let Ok(compressed) = self.compressor.compress(body) else {
            into.uncompressed += contents;
            return;
        };
        if compressed.len() as u64 > self.limits.compressed {
            self.halve(chunk, into);
            return;
        }
        into.payloads.push(Payload::new(self.route, compressed, contents));
    }

    fn halve(&self, chunk: &[T], into: &mut Encoded) {
        if let [single] = chunk {
            into.oversize += (self.contents)(single);
            return;
        }
        let (first, second) = chunk.split_at(chunk.len() / 2);
        self.emit(first, into);
        self.emit(second, into);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTE: Route = Route { name: "check_run_v1", path: "/x", content_type: "text/plain" };

    fn encode(items: &[String], limits: BodyLimits, least_bytes: &dyn Fn(&String) -> u64) -> Encoded {
        let mut encoded = Encoded::default();
        let recipe = Recipe {
            route: ROUTE,
            limits,
            compressor: Compressor::Identity,
            contents: &|item: &String| Contents { points: item.len() as u64, check_runs: 1, ..Contents::default() },
            least_bytes,
            assemble: &|chunk: &[String]| chunk.concat().into_bytes(),
        };
        recipe.encode(items, &mut encoded);
        encoded
    }

    fn texts(encoded: &Encoded) -> Vec<String> {
        encoded.payloads.iter().map(|payload| String::from_utf8(payload.body.clone()).unwrap()).collect()
    }

    const WIDE: BodyLimits = BodyLimits { compressed: 1000, uncompressed: 1000, points: 1000 };

    fn words(all: &[&str]) -> Vec<String> {
        all.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn nothing_makes_no_body() {
        assert_eq!(encode(&[], WIDE, &|_| 1), Encoded::default());
    }

    #[test]
    fn points_and_bytes_each_close_a_body() {
        let items = words(&["aaa", "bb", "c", "dd"]);
        let by_points = encode(&items, BodyLimits { points: 4, ..WIDE }, &|_| 1);
        assert_eq!(texts(&by_points), ["aaa", "bbc", "dd"]);
        let by_bytes = encode(&items, BodyLimits { uncompressed: 5, ..WIDE }, &|item| item.len() as u64);
        assert_eq!(texts(&by_bytes), ["aaabb", "cdd"]);
    }

    #[test]
    fn a_guess_that_was_too_low_is_mended_by_halving() {
        let items = words(&["aaa", "bb", "c", "dd"]);
        assert_eq!(texts(&encode(&items, BodyLimits { uncompressed: 5, ..WIDE }, &|_| 0)), ["aaabb", "cdd"]);
        assert_eq!(texts(&encode(&items, BodyLimits { compressed: 3, ..WIDE }, &|_| 0)), ["aaa", "bb", "cdd"]);
    }

    #[test]
    fn a_single_item_that_is_too_large_is_counted_and_the_others_go() {
        let items = words(&["aaaaaaaa", "bb", "c"]);
        let encoded = encode(&items, BodyLimits { uncompressed: 4, ..WIDE }, &|_| 0);
        assert_eq!(texts(&encoded), ["bbc"]);
        assert_eq!(encoded.oversize, Contents { points: 8, check_runs: 1, ..Contents::default() });
    }
}
