use super::*;
use half::f16;

use crate::Lab;
use crate::kernels::InstructionSet;
use crate::kv::At;

fn noise(i: usize) -> f32 {
    ((i * 7_919 + 13) % 2_000) as f32 / 500.0 - 2.0
}

/// Keys and values of a sequence whose pages are out of order, and garbage in the others.
fn pool(shape: Shape, pages: &[PageId], depth: usize) -> Pool {
    let mut pool = Pool::new(shape, 16, Lab::default()).unwrap();
    let n = shape.kv_heads * shape.head_dim;
    for page in 0..16 {
        for place in 0..PAGE {
            let (mut k, mut v) = (vec![f32::NAN; n], vec![f32::NAN; n]);
            pool.write(
                At {
                    layer: 0,
                    page: PageId(page),
                    place,
                },
                &mut k,
                &mut v,
            );
        }
    }
    for position in 0..depth {
        let mut k: Vec<f32> = (0..n).map(|i| noise(position * n + i)).collect();
        let mut v: Vec<f32> = (0..n).map(|i| noise(position * n + i + 77)).collect();
        let page = pages[position / PAGE];
        let at = At {
            layer: 0,
            page,
            place: position % PAGE,
        };
        pool.write(at, &mut k, &mut v);
    }
    pool
}

/// Rows from `first` on, in tiles of up to `most` rows.
fn attend(
    pool: &Pool,
    heads: usize,
    pages: &[PageId],
    (first, rows, most): (usize, usize, usize),
    (threads, instructions): (usize, InstructionSet),
) -> Vec<f32> {
    let kernels = Kernels::new(threads, instructions).unwrap();
    let dim = pool.shape().head_dim;
    let width = heads * dim;
    let queries: Vec<f32> = (first * width..(first + rows) * width)
        .map(|i| noise(i * 3))
        .collect();
    let attention = Attention {
        pool,
        layer: 0,
        heads,
        scale: 0.3,
        pages,
        queries: &queries,
        wide: kernels.wide(),
    };
    let tiles: Vec<Tile> = (0..rows)
        .step_by(most)
        .map(|row| Tile {
            row,
            rows: most.min(rows - row),
            position: first + row,
            pages: 0..pages.len(),
        })
        .collect();
    let mut out = vec![0.0; queries.len()];
    attention.run(&kernels, &tiles, &mut Vec::new(), &mut out);
    out
}

#[test]
fn a_row_has_the_same_bits_in_any_tile_on_any_instruction_set_and_is_a_weighted_mean() {
    for (heads, kv_heads, head_dim, depth) in [
        (9, 3, 64, 150),
        (4, 4, 20, 70),
        (8, 1, 128, 40),
        (5, 1, 8, 33),
    ] {
        let shape = Shape {
            layers: 1,
            kv_heads,
            head_dim,
        };
        let pages = [3, 1, 7, 0, 9].map(PageId);
        let pool = pool(shape, &pages, depth);
        let width = heads * head_dim;
        let plain = (1, InstructionSet::Portable);
        let want = attend(&pool, heads, &pages, (0, depth, 1), plain);
        for set in InstructionSet::available() {
            for most in [1, 2, 5, 8] {
                let got = attend(&pool, heads, &pages, (0, depth, most), (2, set));
                assert!(
                    got.iter()
                        .zip(&want)
                        .all(|(a, b)| a.to_bits() == b.to_bits())
                );
            }
            // Few tasks, which are divided where they are deep.
            for threads in [1, 2, 3] {
                let tail = (depth - 3, 3, 2);
                let tail = attend(&pool, heads, &pages, tail, (threads, set));
                assert_eq!(tail, want[(depth - 3) * width..]);
            }
        }
        // Against f64, for the last row.
        for head in 0..heads {
            let (kv, n) = (head * kv_heads / heads, kv_heads * head_dim);
            let q = |d: usize| f64::from(noise(((depth - 1) * width + head * head_dim + d) * 3));
            let at = |position: usize, d: usize, add: usize| {
                let x = noise(position * n + kv * head_dim + d + add);
                f64::from(f16::from_f32(x).to_f32())
            };
            let weight: Vec<f64> = (0..depth)
                .map(|t| {
                    let dot: f64 = (0..head_dim).map(|d| q(d) * at(t, d, 0)).sum();
                    (dot * 0.3).exp()
                })
                .collect();
            let total: f64 = weight.iter().sum();
            for d in 0..head_dim {
                let mean: f64 = (0..depth).map(|t| weight[t] / total * at(t, d, 77)).sum();
                let got = f64::from(want[(depth - 1) * width + head * head_dim + d]);
                assert!((got - mean).abs() < 1e-4, "{got}, not {mean}");
            }
        }
    }
}
