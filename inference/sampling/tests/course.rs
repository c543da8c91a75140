//! What may be judged of an answer that is shown: what must stand at each position behind the tokens before it.

use std::cell::Cell;

use mythic_interface::state::FinishReason;
use mythic_sampling::course::{Expected, Shown, Tokens};
use mythic_sampling::{Ending, GuideError, Options, Vocabulary};

const END: u32 = 256;

/// Every byte, and one end.
struct Bytes(Vec<[u8; 1]>);

impl Bytes {
    fn new() -> Self {
        Self((0..=255).map(|byte| [byte]).collect())
    }

    fn vocabulary(&self) -> Vocabulary {
        let pieces = self.0.iter().map(|byte| &byte[..]).chain([&[][..]]);
        Vocabulary::of(pieces, [(END, "<|end|>")].into_iter(), &[END]).unwrap()
    }
}

impl Tokens for Bytes {
    fn piece(&self, id: u32) -> &[u8] {
        self.0.get(id as usize).map_or(&[][..], |byte| &byte[..])
    }
    fn ends(&self) -> &[u32] {
        &[END]
    }
}

/// `.` where a choice is expected, `x` where nothing may stand; `^` is the end token.
fn course(options: &Options, text: &str, finish: FinishReason) -> String {
    let bytes = Bytes::new();
    let output: Vec<u32> = text
        .bytes()
        .map(|byte| if byte == b'^' { END } else { u32::from(byte) })
        .collect();
    let shown = Shown {
        options,
        output: &output,
        output_tokens: output.len() as u32,
        max_tokens: output.len() as u32,
        finish_reason: finish as u8,
    };
    let vocabulary = bytes.vocabulary();
    let followed = shown.follow(&bytes, Some(&vocabulary), &|_| true, &|| true);
    let expected = followed.unwrap();
    let told = expected.iter().map(|expected| match expected {
        Expected::Choice(_) => '.',
        Expected::Nothing => 'x',
        Expected::Unasked => '?',
    });
    told.collect()
}

#[test]
fn nothing_may_stand_behind_an_end() {
    let free = Options::default();
    assert_eq!(course(&free, "abc^", FinishReason::Eos), "....");
    assert_eq!(course(&free, "ab^cd", FinishReason::Length), "...xx");
    let stops = Options::stopping(vec!["b\n".into()]);
    assert_eq!(course(&stops, "ab\ncd", FinishReason::Length), "...xx");
    assert_eq!(course(&stops, "abc", FinishReason::Length), "...");
}

#[test]
fn who_says_that_it_stopped_has_a_stop_string_that_ends_there() {
    let stops = Options::stopping(vec!["END".into()]);
    assert_eq!(course(&stops, "the END", FinishReason::Stopped), ".......");
    assert_eq!(course(&stops, "the EN", FinishReason::Stopped), ".....x");
    assert_eq!(course(&stops, "the EN", FinishReason::Length), "......");
}

#[test]
fn an_unfinished_character_is_one_with_the_last_token_that_was_asked_for_and_not_before() {
    let options = Options::stopping(vec!["\u{fffd}".into()]);
    let output = [u32::from(b'a'), 0xe2];
    let last = |max_tokens: u32| {
        let shown = Shown {
            options: &options,
            output: &output,
            output_tokens: 2,
            max_tokens,
            finish_reason: FinishReason::Stopped as u8,
        };
        let followed = shown.follow(&Bytes::new(), None, &|_| true, &|| true);
        followed.unwrap().pop()
    };
    assert_eq!(last(2), Some(Expected::Choice(None)));
    assert_eq!(last(3), Some(Expected::Nothing));
}

#[test]
fn nothing_may_stand_behind_what_the_grammar_does_not_allow() {
    let yes = Options {
        grammar: Some("start: \"yes\" | \"no\"\n".into()),
        ..Options::default()
    };
    assert_eq!(course(&yes, "yes^", FinishReason::Eos), "....");
    assert_eq!(course(&yes, "yea^", FinishReason::Eos), "...x");
    assert_eq!(course(&yes, "yesno", FinishReason::Length), "....x");
    assert_eq!(course(&yes, "^", FinishReason::Eos), ".");
}

#[test]
fn a_choice_is_among_what_the_mask_of_its_position_allows() {
    let options = Options {
        grammar: Some("start: \"ab\"\n".into()),
        ..Options::default()
    };
    let bytes = Bytes::new();
    let output = [u32::from(b'a'), u32::from(b'b'), END];
    let shown = Shown {
        options: &options,
        output: &output,
        output_tokens: 3,
        max_tokens: 3,
        finish_reason: FinishReason::Eos as u8,
    };
    let vocabulary = bytes.vocabulary();
    let asked = |position: u32| position != 0;
    let followed = shown.follow(&bytes, Some(&vocabulary), &asked, &|| true);
    let expected = followed.unwrap();
    assert_eq!(expected[0], Expected::Unasked);
    for (expected, token) in expected.iter().zip(output).skip(1) {
        let Expected::Choice(Some(mask)) = expected else {
            panic!("{expected:?}");
        };
        let allowed: Vec<u32> = (0..=END).filter(|id| mask.allows(*id)).collect();
        assert_eq!(allowed, [token]);
    }
    // Without a vocabulary nobody judges.
    let error = shown.follow(&bytes, None, &asked, &|| true).unwrap_err();
    assert!(matches!(error, GuideError::Vocabulary(_)));
    // And for nobody.
    let looks = Cell::new(0);
    let wanted = || looks.replace(looks.get() + 1) == 0;
    let unwanted = shown.follow(&bytes, Some(&vocabulary), &asked, &wanted);
    assert!(matches!(unwanted, Err(GuideError::Run(_))));
    assert_eq!(looks.get(), 2);
}

#[test]
fn an_unfinished_character_at_the_end_may_be_what_a_stop_string_holds() {
    let stop = vec!["\u{fffd}".to_owned()];
    let mut ending = Ending::new(stop.clone(), 2);
    assert_eq!(ending.push(b"a", false).finish, None);
    let last = ending.push(&[0xe2], false);
    assert_eq!(last.finish, Some(FinishReason::Stopped));
    let mut ending = Ending::new(stop, 2);
    ending.push(b"a", false);
    assert_eq!(ending.push(b"", true).finish, Some(FinishReason::Eos));
}
