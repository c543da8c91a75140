//! Residual rows: what every layer gives at every position of an answer. They are kept with the pages of keys and values while it is
//! made, and for a while after, so that who checks it can compute some layers alone. Within a budget: what doesn't fit is not kept.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use mythic_interface::hash::{Hash, domain, sha256};
use parking_lot::Mutex;

use super::pages::{PAGE, PageId, pages_for};

/// Answers whose rows are kept at a time.
const MOST_ANSWERS: usize = 4_096;

/// No honest row has a number as large, and no kernel overflows at once by one below it.
const LARGEST: f32 = 1e12;

/// Sizes of a model's residual rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowShape {
    pub layers: usize,
    /// Numbers of a row.
    pub width: usize,
}

impl RowShape {
    /// Numbers at the positions of a page.
    fn page(self) -> usize {
        self.layers * PAGE * self.width
    }

    /// Bytes of all layers' rows at the positions of a page.
    pub fn page_bytes(self) -> u64 {
        4 * self.page() as u64
    }
}

/// The hash of what a layer (from 0) gives at all positions of an answer: rows of `width` numbers, hashed page by page.
pub fn digest(layer: usize, width: usize, rows: &[f32]) -> Hash {
    let pages = rows.chunks(PAGE * width);
    let pages: Vec<Hash> = pages.map(|rows| page_hash(layer, rows)).collect();
    layer_hash(layer, rows.len() / width, &pages)
}

fn page_hash(layer: usize, rows: &[f32]) -> Hash {
    let layer = (layer as u32).to_le_bytes();
    sha256(&[
        domain::RESIDUAL_PAGE,
        &layer,
        bytemuck::cast_slice::<f32, u8>(rows),
    ])
}

fn layer_hash(layer: usize, positions: usize, pages: &[Hash]) -> Hash {
    sha256(&[
        domain::RESIDUAL_LAYER,
        &(layer as u32).to_le_bytes(),
        &(positions as u32).to_le_bytes(),
        pages.as_flattened(),
    ])
}

/// Rows as they travel: f32, little-endian, one position after the other. `None` if they are not as many, or hold what no layer gives.
pub fn read(bytes: &[u8], positions: usize, width: usize) -> Option<Vec<f32>> {
    let (numbers, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() || Some(numbers.len()) != positions.checked_mul(width) {
        return None;
    }
    let numbers: Vec<f32> = numbers.iter().map(|n| f32::from_le_bytes(*n)).collect();
    // Of what is not a number this is false too.
    let sound = numbers.iter().all(|n| n.abs() < LARGEST);
    sound.then_some(numbers)
}

/// What the layers gave at the positions of one page.
struct Filled {
    shape: RowShape,
    /// Layer after layer, a row for each position.
    rows: Vec<f32>,
    /// Positions from the page's first whose rows are all there.
    count: usize,
    /// Of a full page, a hash for each layer.
    hashes: OnceLock<Vec<Hash>>,
    /// Bytes of all pages.
    used: Arc<AtomicU64>,
}

impl Drop for Filled {
    fn drop(&mut self) {
        let bytes = self.shape.page_bytes();
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Filled {
    /// A layer's rows at the first positions.
    fn first(&self, layer: usize, positions: usize) -> &[f32] {
        let width = self.shape.width;
        &self.rows[layer * PAGE * width..][..positions * width]
    }

    fn hash(&self, layer: usize, positions: usize) -> Hash {
        if positions < PAGE {
            return page_hash(layer, self.first(layer, positions));
        }
        let all = self.hashes.get_or_init(|| {
            let layers = 0..self.shape.layers;
            layers
                .map(|layer| page_hash(layer, self.first(layer, PAGE)))
                .collect()
        });
        all[layer]
    }
}

/// The rows of pages that are being filled or can be found again.
pub struct PageRows {
    shape: RowShape,
    /// Most bytes.
    most: u64,
    used: Arc<AtomicU64>,
    /// With a number that tells when each was used last.
    pages: HashMap<PageId, (u64, Arc<Filled>)>,
    uses: u64,
    answers: Arc<Answers>,
}

impl PageRows {
    /// At most so many bytes; answers go to `answers`.
    pub fn new(shape: RowShape, most: u64, answers: Arc<Answers>) -> Self {
        Self {
            shape,
            most,
            used: Arc::default(),
            pages: HashMap::new(),
            uses: 0,
            answers,
        }
    }

    fn has_room(&self, pages: usize) -> bool {
        let needed = self.shape.page_bytes().saturating_mul(pages as u64);
        let used = self.used.load(Ordering::Relaxed);
        used.saturating_add(needed) <= self.most
    }

    /// Takes what a layer gave at a place of a page. Places are filled one after the other, for each the layers in order.
    pub fn write(&mut self, layer: usize, page: PageId, place: usize, row: &[f32]) {
        if layer == 0 && place == 0 {
            // The page is another's now.
            self.pages.remove(&page);
            self.begin(page);
        }
        let found = self.pages.get_mut(&page);
        // What an answer has is never changed.
        let Some(kept) = found.and_then(|(_, kept)| Arc::get_mut(kept)) else {
            self.pages.remove(&page);
            return;
        };
        if layer == 0 {
            kept.count = kept.count.min(place);
            kept.hashes = OnceLock::new();
        }
        let width = self.shape.width;
        kept.rows[(layer * PAGE + place) * width..][..width].copy_from_slice(row);
        if layer + 1 == self.shape.layers && kept.count == place {
            kept.count += 1;
        }
    }

    fn begin(&mut self, page: PageId) {
        if !self.has_room(1) {
            return;
        }
        let bytes = self.shape.page_bytes();
        self.used.fetch_add(bytes, Ordering::Relaxed);
        self.uses += 1;
        let filled = Filled {
            shape: self.shape,
            rows: vec![0.0; self.shape.page()],
            count: 0,
            hashes: OnceLock::new(),
            used: self.used.clone(),
        };
        self.pages.insert(page, (self.uses, Arc::new(filled)));
    }

    /// Makes room for `pages` more, if old answers and pages that nobody holds leave as much; those go first that were used longest ago.
    pub fn make_room(&mut self, pages: usize, is_held: impl Fn(PageId) -> bool) {
        self.answers.forget_old();
        if self.has_room(pages) {
            return;
        }
        let spare = self.pages.iter();
        let spare =
            spare.filter(|(page, (_, kept))| Arc::strong_count(kept) == 1 && !is_held(**page));
        let mut spare: Vec<(u64, PageId)> = spare.map(|(page, (used, _))| (*used, *page)).collect();
        spare.sort_unstable_by_key(|(used, _)| *used);
        for (_, page) in spare {
            if self.has_room(pages) {
                return;
            }
            self.pages.remove(&page);
        }
    }

    /// Forgets pages whose memory goes back, and old answers.
    pub fn forget(&mut self, pages: &[PageId]) {
        self.answers.forget_old();
        for page in pages {
            self.pages.remove(page);
        }
    }

    /// Keeps the rows of an answer for a while: all tokens that were read for it, and their pages. Nothing where some are missing.
    pub fn keep(&mut self, tokens: &[u32], pages: &[PageId]) {
        self.uses += 1;
        let wanted = pages_for(tokens.len());
        let mut kept = Vec::with_capacity(wanted);
        for (at, page) in pages.iter().take(wanted).enumerate() {
            let needed = (tokens.len() - at * PAGE).min(PAGE);
            match self.pages.get_mut(page) {
                Some((used, filled)) if filled.count >= needed => {
                    *used = self.uses;
                    kept.push(filled.clone());
                }
                _ => return,
            }
        }
        if kept.len() == wanted {
            let residuals = Residuals {
                shape: self.shape,
                positions: tokens.len(),
                pages: kept,
                digests: OnceLock::new(),
            };
            self.answers.put(tokens.to_vec(), residuals);
        }
    }
}

/// The residual rows of one answer, at all positions that were read: its prompt, and its tokens but the last.
pub struct Residuals {
    shape: RowShape,
    positions: usize,
    pages: Vec<Arc<Filled>>,
    digests: OnceLock<Vec<Hash>>,
}

impl Residuals {
    pub fn shape(&self) -> RowShape {
        self.shape
    }

    pub fn positions(&self) -> usize {
        self.positions
    }

    /// The hash of what each layer gave; see [`digest`]. Computed at the first call, which takes as long as hashing all rows.
    pub fn digests(&self) -> &[Hash] {
        self.digests.get_or_init(|| {
            let layers = 0..self.shape.layers;
            layers
                .map(|layer| {
                    let pages = self.parts().map(|(page, count)| page.hash(layer, count));
                    let pages: Vec<Hash> = pages.collect();
                    layer_hash(layer, self.positions, &pages)
                })
                .collect()
        })
    }

    /// Bytes of one layer's rows.
    pub fn bytes(&self) -> usize {
        4 * self.positions * self.shape.width
    }

    /// What a layer (from 0) gave, as [`read`] takes it.
    pub fn rows(&self, layer: usize) -> Option<Vec<u8>> {
        if layer >= self.shape.layers {
            return None;
        }
        let mut out = Vec::with_capacity(self.bytes());
        for (page, count) in self.parts() {
            let rows = page.first(layer, count);
            out.extend_from_slice(bytemuck::cast_slice::<f32, u8>(rows));
        }
        Some(out)
    }

    /// What a layer gave at the positions of one page (from 0), a part of [`Self::rows`]; `None` behind the last.
    pub fn page_rows(&self, layer: usize, page: usize) -> Option<Vec<u8>> {
        if layer >= self.shape.layers {
            return None;
        }
        let (page, count) = self.parts().nth(page)?;
        Some(bytemuck::cast_slice::<f32, u8>(page.first(layer, count)).to_vec())
    }

    /// The pages, and how many positions of each.
    fn parts(&self) -> impl Iterator<Item = (&Filled, usize)> {
        let pages = self.pages.iter().enumerate();
        pages.map(move |(at, page)| (&**page, (self.positions - at * PAGE).min(PAGE)))
    }
}

/// Rows, and since when they are kept.
type Kept = (Instant, Arc<Residuals>);

/// Answers whose rows are kept, by the tokens that were read for them.
pub struct Answers {
    /// For how long.
    time: Duration,
    known: Mutex<HashMap<Vec<u32>, Kept>>,
}

impl Answers {
    pub fn new(time: Duration) -> Self {
        Self {
            time,
            known: Mutex::default(),
        }
    }

    /// The rows of the answer for which these tokens were read.
    pub fn get(&self, tokens: &[u32]) -> Option<Arc<Residuals>> {
        self.forget_old();
        let known = self.known.lock();
        known.get(tokens).map(|(_, residuals)| residuals.clone())
    }

    fn put(&self, tokens: Vec<u32>, residuals: Residuals) {
        let mut known = self.known.lock();
        if known.len() < MOST_ANSWERS {
            known.insert(tokens, (Instant::now(), Arc::new(residuals)));
        }
    }

    fn forget_old(&self) {
        let mut known = self.known.lock();
        known.retain(|_, (since, _)| since.elapsed() < self.time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: RowShape = RowShape {
        layers: 2,
        width: 3,
    };

    fn rows(pages: u64) -> (PageRows, Arc<Answers>) {
        let answers = Arc::new(Answers::new(Duration::from_secs(600)));
        let most = pages * SHAPE.page_bytes();
        (PageRows::new(SHAPE, most, answers.clone()), answers)
    }

    /// The number that a layer gives at a position.
    fn number(layer: usize, position: usize) -> f32 {
        (layer * 1_000 + position) as f32
    }

    fn fill(rows: &mut PageRows, pages: &[PageId], positions: std::ops::Range<usize>) {
        for layer in 0..SHAPE.layers {
            for position in positions.clone() {
                let row = [number(layer, position); 3];
                rows.write(layer, pages[position / PAGE], position % PAGE, &row);
            }
        }
    }

    fn tokens(count: u32) -> Vec<u32> {
        (0..count).collect()
    }

    #[test]
    fn an_answers_rows_are_found_by_its_tokens_and_hash_as_a_checker_hashes_them() {
        let (mut kept, answers) = rows(4);
        let pages = [PageId(7), PageId(2)];
        fill(&mut kept, &pages, 0..20);
        fill(&mut kept, &pages, 20..41);
        kept.keep(&tokens(41), &pages);
        assert!(answers.get(&tokens(40)).is_none());
        let found = answers.get(&tokens(41)).unwrap();
        assert_eq!((found.positions(), found.shape()), (41, SHAPE));
        for layer in 0..2 {
            let bytes = found.rows(layer).unwrap();
            assert_eq!(bytes.len(), found.bytes());
            let pages = (0..).map_while(|page| found.page_rows(layer, page));
            assert_eq!(pages.flatten().collect::<Vec<u8>>(), bytes);
            let numbers = read(&bytes, 41, 3).unwrap();
            let want = (0..41).flat_map(|position| [number(layer, position); 3]);
            assert!(numbers.iter().copied().eq(want));
            assert_eq!(digest(layer, 3, &numbers), found.digests()[layer]);
        }
        assert_ne!(found.digests()[0], found.digests()[1]);
        assert!(found.rows(2).is_none());
        // The pages are another's next, and the answer stays as it was.
        fill(&mut kept, &[PageId(2)], 0..3);
        let numbers = read(&found.rows(0).unwrap(), 41, 3).unwrap();
        assert_eq!(numbers[40 * 3], number(0, 40));
    }

    #[test]
    fn what_is_missing_somewhere_is_not_kept() {
        let (mut kept, answers) = rows(4);
        let pages = [PageId(0), PageId(1)];
        fill(&mut kept, &pages, 0..10);
        fill(&mut kept, &pages, 11..33);
        kept.keep(&tokens(33), &pages);
        kept.keep(&tokens(11), &pages);
        assert!(answers.get(&tokens(33)).is_none() && answers.get(&tokens(11)).is_none());
        kept.keep(&tokens(10), &pages);
        assert!(answers.get(&tokens(10)).is_some());
        kept.keep(&tokens(40), &pages[..1]);
        assert!(answers.get(&tokens(40)).is_none());
    }

    #[test]
    fn no_more_is_kept_than_the_budget_and_what_nobody_needs_makes_room() {
        let (mut kept, answers) = rows(2);
        let pages = [0, 1, 2].map(PageId);
        fill(&mut kept, &pages, 0..96);
        kept.keep(&tokens(96), &pages);
        assert!(answers.get(&tokens(96)).is_none(), "its last has no room");
        kept.keep(&tokens(64), &pages);
        assert!(answers.get(&tokens(64)).is_some());
        kept.make_room(1, |_| false);
        fill(&mut kept, &[PageId(5)], 0..32);
        kept.keep(&tokens(32), &[PageId(5)]);
        assert!(answers.get(&tokens(32)).is_none(), "answers stay");
        answers.known.lock().clear();
        kept.make_room(1, |page| page == PageId(0));
        fill(&mut kept, &[PageId(5)], 0..32);
        kept.keep(&tokens(32), &[PageId(5)]);
        assert!(answers.get(&tokens(32)).is_some());
        answers.known.lock().clear();
        kept.keep(&tokens(32), &[PageId(0)]);
        assert!(answers.get(&tokens(32)).is_some(), "it was held");
        kept.forget(&[PageId(0), PageId(5)]);
        answers.known.lock().clear();
        assert_eq!(kept.used.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn an_answers_rows_are_forgotten_after_a_while() {
        let answers = Arc::new(Answers::new(Duration::ZERO));
        let mut kept = PageRows::new(SHAPE, 1 << 20, answers.clone());
        fill(&mut kept, &[PageId(0)], 0..5);
        kept.keep(&tokens(5), &[PageId(0)]);
        assert!(answers.get(&tokens(5)).is_none());
    }

    #[test]
    fn rows_from_strangers_are_as_many_as_they_should_be_and_numbers() {
        let bytes =
            |numbers: &[f32]| -> Vec<u8> { numbers.iter().flat_map(|n| n.to_le_bytes()).collect() };
        assert_eq!(read(&bytes(&[1.0, -2.0]), 2, 1), Some(vec![1.0, -2.0]));
        assert_eq!(read(&bytes(&[1.0, 2.0]), 1, 1), None);
        assert_eq!(read(&bytes(&[1.0])[..3], 1, 1), None);
        assert_eq!(read(&bytes(&[1.0]), usize::MAX, 2), None);
        for bad in [f32::NAN, f32::INFINITY, -1e30] {
            assert_eq!(read(&bytes(&[bad]), 1, 1), None, "{bad}");
        }
    }
}
