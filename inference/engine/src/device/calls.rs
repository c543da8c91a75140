//! The structs that kernels take, as `kernels/*.cuh` of this crate have them; addresses are numbers. What is left of a word is filled.

use bytemuck::NoUninit;

#[repr(C)]
#[derive(Clone, Copy, NoUninit)]
pub(crate) struct RmsNorm {
    pub x: u64,
    pub weight: u64,
    pub out: u64,
    pub n: i32,
    pub epsilon: f32,
}

#[repr(C)]
#[derive(Clone, Copy, NoUninit)]
pub(crate) struct Quantise {
    pub x: u64,
    pub y: Rounded,
    pub blocks: i64,
}

/// Rows rounded to int8.
#[repr(C)]
#[derive(Clone, Copy, NoUninit)]
pub(crate) struct Rounded {
    pub q: u64,
    pub d: u64,
    pub ds: u64,
    pub sums: u64,
}

#[repr(C)]
#[derive(Clone, Copy, NoUninit)]
pub(crate) struct Values {
    pub x: u64,
    pub y: u64,
    pub len: i64,
    pub cols: i32,
    pub by: f32,
}

#[repr(C)]
#[derive(Clone, Copy, NoUninit)]
pub(crate) struct Rotate {
    pub heads: u64,
    pub angles: u64,
    pub len: i64,
    pub count: i32,
    pub dim: i32,
    pub pairs: i32,
    pub neighbours: i32,
}

#[repr(C)]
#[derive(Clone, Copy, NoUninit)]
pub(crate) struct Move {
    pub from: u64,
    pub to: u64,
    pub rows: u64,
    pub len: i64,
    pub cols: i32,
    pub rest: i32,
}

#[repr(C)]
#[derive(Clone, Copy, NoUninit)]
pub(crate) struct Columns {
    pub from: u64,
    pub to: u64,
    pub len: i64,
    pub cols: i32,
    pub stride: i32,
    pub first: i32,
    pub rest: i32,
}

#[repr(C)]
#[derive(Clone, Copy, NoUninit)]
pub(crate) struct Mix {
    pub results: u64,
    pub weights: u64,
    pub out: u64,
    pub len: i64,
    pub cols: i32,
    pub used: i32,
}

#[repr(C)]
#[derive(Clone, Copy, NoUninit)]
pub(crate) struct Matmul {
    pub integers: u64,
    pub factors: u64,
    pub headers: u64,
    pub y: Rounded,
    pub out: u64,
    pub rows: i32,
    pub blocks: i32,
    pub outputs: i32,
    pub rest: i32,
}

#[repr(C)]
#[derive(Clone, Copy, NoUninit)]
pub(crate) struct Floats {
    pub w: u64,
    pub x: u64,
    pub out: u64,
    pub rows: i32,
    pub cols: i32,
    pub outputs: i32,
    pub rest: i32,
}

#[repr(C)]
#[derive(Clone, Copy, NoUninit)]
pub(crate) struct Store {
    pub pool: u64,
    pub k: u64,
    pub v: u64,
    pub positions: u64,
    pub pages_at: u64,
    pub pages: u64,
    pub page_size: i64,
    pub len: i64,
    pub layer: i32,
    pub all_heads: i32,
    pub first_head: i32,
    pub kv_heads: i32,
    pub dim: i32,
    pub rest: i32,
}

#[repr(C)]
#[derive(Clone, Copy, NoUninit)]
pub(crate) struct Attention {
    pub pool: u64,
    pub queries: u64,
    pub sinks: u64,
    pub out: u64,
    pub positions: u64,
    pub pages_at: u64,
    pub pages: u64,
    pub largest: u64,
    pub sums: u64,
    pub scores: u64,
    pub values: u64,
    pub page_size: i64,
    pub layer: i32,
    pub heads: i32,
    pub kv_heads: i32,
    pub first_head: i32,
    pub group: i32,
    pub dim: i32,
    pub window: i32,
    pub segments: i32,
    pub first_row: i32,
    pub scale: f32,
}

#[repr(C)]
#[derive(Clone, Copy, NoUninit)]
pub(crate) struct ProbeLines {
    pub out: u64,
    pub len: i64,
    pub per_line: i32,
    pub factor: u32,
    pub key: [u32; 2],
    pub tweak: u32,
    pub rest: i32,
}

#[repr(C)]
#[derive(Clone, Copy, NoUninit)]
pub(crate) struct ProbeProduct {
    pub rows: u64,
    pub columns: u64,
    pub out: u64,
    pub n: i32,
    pub rest: i32,
}
