//! Any bytes as a model file, down to tokenizer and chat template.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mythic_model::gguf::Gguf;
use mythic_model::prompt::{Message, PromptFormatter};

fuzz_target!(|bytes: &[u8]| {
    let Ok(gguf) = Gguf::from_bytes(bytes, Path::new("fuzz.gguf")) else {
        return;
    };
    if let Ok(formatter) = PromptFormatter::from_parsed(&gguf) {
        let _ = formatter.encode("Hello, world! 123\n<|im_end|>");
        let _ = formatter.chat(&[Message::new("user", "x")]);
    }
});
