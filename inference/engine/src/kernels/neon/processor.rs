//! The instructions that the kernels of 64-bit ARM are written on, by what they do.

use std::arch::aarch64::*;
use std::arch::asm;

pub use std::arch::aarch64::{
    float32x4_t as Floats, int32x4_t as Ints, uint8x16_t as Bytes, vaddq_s32 as add,
    vandq_u8 as and, vcvtq_f32_s32 as to_floats, vdupq_n_f32 as floats, vdupq_n_s32 as ints,
    vdupq_n_u8 as bytes, veorq_u8 as xor, vmulq_f32 as mul_floats, vmulq_s32 as mul,
    vorrq_u8 as or, vpaddlq_s16 as pairs, vpaddq_s32 as neighbours, vqtbl1q_u8 as entries,
    vshlq_n_u8 as left, vshrq_n_u8 as right,
};

by_products!("neon");

/// Four products of signed bytes, of each output's with those of the lane, are added to each sum. (The compiler has a
/// name for the instruction, but not yet on a stable release.)
#[inline]
#[target_feature(enable = "neon,dotprod")]
pub fn sdot<const LANE: i32>(mut sum: Ints, w: Bytes, x: Bytes) -> Ints {
    // SAFETY: it reads three registers and writes one of them.
    unsafe {
        asm!(
            "sdot {sum:v}.4s, {w:v}.16b, {x:v}.4b[{lane}]",
            sum = inout(vreg) sum,
            w = in(vreg) w,
            x = in(vreg) x,
            lane = const LANE,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    sum
}

#[inline]
#[target_feature(enable = "neon")]
pub fn load(bytes: &[u8; 16]) -> Bytes {
    // SAFETY: sixteen bytes are there.
    unsafe { vld1q_u8(bytes.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
pub fn load_ints(values: &[i32; 4]) -> Ints {
    // SAFETY: four integers are there.
    unsafe { vld1q_s32(values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
pub fn load_floats(values: &[f32; 4]) -> Floats {
    // SAFETY: four floats are there.
    unsafe { vld1q_f32(values.as_ptr()) }
}

#[inline]
#[target_feature(enable = "neon")]
pub fn store(values: Floats, places: &mut [f32; 4]) {
    // SAFETY: four places are there.
    unsafe { vst1q_f32(places.as_mut_ptr(), values) };
}

/// a × b + c, rounded once.
#[inline]
#[target_feature(enable = "neon")]
pub fn fma(a: Floats, b: Floats, c: Floats) -> Floats {
    vfmaq_f32(c, a, b)
}

/// Eight f16 as f32.
#[inline]
#[target_feature(enable = "neon")]
pub fn halves(bytes: &[u8; 16]) -> [Floats; 2] {
    let all = vreinterpretq_u16_u8(load(bytes));
    [
        vcvt_f32_f16(vreinterpret_f16_u16(vget_low_u16(all))),
        vcvt_f32_f16(vreinterpret_f16_u16(vget_high_u16(all))),
    ]
}

/// Eight bf16 as f32.
#[inline]
#[target_feature(enable = "neon")]
pub fn brain_floats(bytes: &[u8; 16]) -> [Floats; 2] {
    let all = vreinterpretq_u16_u8(load(bytes));
    [
        vreinterpretq_f32_u32(vshlq_n_u32::<16>(vmovl_u16(vget_low_u16(all)))),
        vreinterpretq_f32_u32(vshlq_n_u32::<16>(vmovl_high_u16(all))),
    ]
}

/// A lane of four bytes, four times.
#[inline]
#[target_feature(enable = "neon")]
pub fn repeated<const LANE: i32>(x: Bytes) -> Bytes {
    vreinterpretq_u8_s32(vdupq_laneq_s32::<LANE>(vreinterpretq_s32_u8(x)))
}

/// Products of the first eight signed bytes.
#[inline]
#[target_feature(enable = "neon")]
pub fn products_low(a: Bytes, b: Bytes) -> int16x8_t {
    let [a, b] = [vreinterpretq_s8_u8(a), vreinterpretq_s8_u8(b)];
    vmull_s8(vget_low_s8(a), vget_low_s8(b))
}

/// Products of the last eight signed bytes.
#[inline]
#[target_feature(enable = "neon")]
pub fn products_high(a: Bytes, b: Bytes) -> int16x8_t {
    vmull_high_s8(vreinterpretq_s8_u8(a), vreinterpretq_s8_u8(b))
}
