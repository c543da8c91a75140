//! Masks, made beside the passes: threads of their own follow each answer through its grammar, so that no grammar holds up a
//! request without one. A row whose mask is late waits for it, and nothing but its own answer waits with it.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use mythic_model::prompt::PromptFormatter;
use mythic_sampling::{Guide, GuideError, Mask, Vocabulary};

use super::scheduler::Id;

/// Threads that make masks.
const THREADS: usize = 2;
/// How long the engine's thread sleeps at once where every request waits for a mask.
const PATIENCE: Duration = Duration::from_millis(2);

/// A model's vocabulary as grammars see it, made when the first one comes: it takes a fraction of a second.
pub struct Words {
    formatter: Arc<PromptFormatter>,
    made: OnceLock<Result<Vocabulary, GuideError>>,
}

impl Words {
    pub fn new(formatter: Arc<PromptFormatter>) -> Self {
        Self {
            formatter,
            made: OnceLock::new(),
        }
    }

    pub fn get(&self) -> Result<&Vocabulary, GuideError> {
        let made = self
            .made
            .get_or_init(|| Vocabulary::new(self.formatter.tokenizer()));
        made.as_ref().map_err(Clone::clone)
    }
}

/// What a thread is asked.
enum Task {
    /// To read a grammar.
    Begin(String),
    /// To go on behind a token.
    Go(Box<Guide>, u32),
}

/// What a thread has made.
pub(crate) struct Made {
    pub(crate) id: Id,
    pub(crate) found: Result<(Box<Guide>, Mask), GuideError>,
}

/// The threads, seen from the engine's. They end with it.
pub(crate) struct Masks {
    tasks: Sender<(Id, Task)>,
    made: Receiver<Made>,
}

impl Masks {
    pub(crate) fn new(words: &Arc<Words>) -> std::io::Result<Self> {
        let (tasks, inbox) = channel();
        let (outbox, made) = channel();
        let inbox = Arc::new(Mutex::new(inbox));
        for _ in 0..THREADS {
            let (words, inbox, outbox) = (words.clone(), inbox.clone(), outbox.clone());
            std::thread::Builder::new()
                .name("mythic-masks".into())
                .spawn(move || serve(&words, &inbox, &outbox))?;
        }
        Ok(Self { tasks, made })
    }

    /// Asks for the first mask of an answer.
    pub(crate) fn begin(&self, id: Id, grammar: String) {
        // The threads live as long as this does.
        let _ = self.tasks.send((id, Task::Begin(grammar)));
    }

    /// Asks for the mask behind a token.
    pub(crate) fn go(&self, id: Id, guide: Box<Guide>, token: u32) {
        let _ = self.tasks.send((id, Task::Go(guide, token)));
    }

    /// A mask that was made, if one is there.
    pub(crate) fn take(&self) -> Option<Made> {
        self.made.try_recv().ok()
    }

    /// Waits a moment for one.
    pub(crate) fn wait(&self) -> Option<Made> {
        match self.made.recv_timeout(PATIENCE) {
            Ok(made) => Some(made),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                // No thread is left: those that wait for one will be cancelled.
                std::thread::sleep(PATIENCE);
                None
            }
        }
    }
}

fn serve(words: &Words, inbox: &Mutex<Receiver<(Id, Task)>>, outbox: &Sender<Made>) {
    loop {
        let task = match inbox.lock() {
            Ok(inbox) => inbox.recv(),
            Err(_) => return,
        };
        let Ok((id, task)) = task else { return };
        if outbox
            .send(Made {
                id,
                found: make(words, task),
            })
            .is_err()
        {
            return;
        }
    }
}

fn make(words: &Words, task: Task) -> Result<(Box<Guide>, Mask), GuideError> {
    let mut guide = match task {
        Task::Begin(grammar) => Box::new(Guide::new(words.get()?, &grammar)?),
        Task::Go(mut guide, token) => {
            guide.push(token)?;
            guide
        }
    };
    let mask = guide.mask()?;
    Ok((guide, mask))
}

#[cfg(test)]
mod tests {
    use mythic_model::catalogue;
    use mythic_sampling::Options;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::decoder::{Model, Pass, Scratch};
    use crate::device::{self, Device, NoDevice, Take};
    use crate::pages::PageId;
    use crate::residuals::PageRows;
    use crate::{DeviceError, Engine, EngineConfig, GenerateRequest, Sampler, Step};

    const CHOICE: &str = "start: \"yes\" | \"no\"\n";
    /// Tokens of a request's prompt.
    const PROMPT: usize = 32;

    /// The positions of each pass.
    type Passes = Arc<Mutex<Vec<Vec<usize>>>>;

    /// A device that notes them.
    struct Noting {
        device: Box<dyn Device>,
        passes: Passes,
    }

    impl Device for Noting {
        fn name(&self) -> String {
            self.device.name()
        }
        fn rows(&self) -> usize {
            self.device.rows()
        }
        fn threads(&self) -> usize {
            self.device.threads()
        }
        fn forward(&mut self, pass: &Pass, take: &mut Take<'_>) -> Result<(), DeviceError> {
            let positions = pass.rows.iter().map(|row| row.position).collect();
            self.passes.lock().unwrap().push(positions);
            self.device.forward(pass, take)
        }
        fn keep_residuals(&mut self, rows: PageRows) -> Result<(), DeviceError> {
            self.device.keep_residuals(rows)
        }
        fn residuals(&mut self) -> Option<&mut PageRows> {
            self.device.residuals()
        }
        fn layers(&mut self) -> Result<(&Model, &mut Scratch), DeviceError> {
            self.device.layers()
        }
        fn release(&mut self, pages: &mut [PageId]) {
            self.device.release(pages);
        }
        fn fall_back(&mut self) -> Result<(), NoDevice> {
            self.device.fall_back()
        }
    }

    async fn engine() -> Engine {
        noting(&Passes::default()).await
    }

    async fn noting(passes: &Passes) -> Engine {
        let path = catalogue::fetch(|_| ()).await.unwrap();
        let config = EngineConfig {
            kv_bytes: 64 << 20,
            // One token a pass.
            speculation: false,
            ..EngineConfig::default()
        };
        let passes = passes.clone();
        let open = |model: Model, config: &EngineConfig, sizes: device::Sizes| {
            let opened = device::open(model, config, sizes);
            opened.map(|device| Box::new(Noting { device, passes }) as Box<dyn Device>)
        };
        Engine::load_on(path, config, open).unwrap()
    }

    /// Holds whoever makes the vocabulary: no mask can be made until something is sent.
    fn hold(engine: &Engine) -> (Sender<()>, std::thread::JoinHandle<()>) {
        let words = engine.facts.words.clone();
        let (release, held) = channel::<()>();
        let (entered, inside) = channel();
        let holder = std::thread::spawn(move || {
            let _ = words.made.get_or_init(|| {
                entered.send(()).unwrap();
                held.recv().unwrap();
                Vocabulary::new(words.formatter.tokenizer())
            });
        });
        inside.recv().unwrap();
        (release, holder)
    }

    fn request(grammar: Option<&str>, max_tokens: u32) -> GenerateRequest {
        let options = Options {
            grammar: grammar.map(str::to_owned),
            ..Options::default()
        };
        GenerateRequest {
            prompt_ids: (40..40 + PROMPT as u32).collect(),
            max_tokens,
            sampler: Sampler::Full {
                seed: [7; 32],
                temperature_milli: 1_000,
                options: Arc::new(options),
            },
            stop: Vec::new(),
            logprobs: false,
        }
    }

    async fn all(engine: &Engine, request: GenerateRequest) -> Vec<Step> {
        let mut steps = engine.generate(request, CancellationToken::new()).unwrap();
        let mut all = Vec::new();
        while let Some(step) = steps.recv().await {
            all.push(step.unwrap());
        }
        all
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_whose_masks_are_late_holds_up_no_other_and_is_the_same() {
        let engine = engine().await;
        let (release, holder) = hold(&engine);
        let cancel = CancellationToken::new();
        let mut late = engine
            .generate(request(Some(CHOICE), 8), cancel.clone())
            .unwrap();
        // Others' answers come to their ends meanwhile, each with all of its tokens.
        for _ in 0..6 {
            let steps = all(&engine, request(None, 8)).await;
            assert!(steps.last().is_some_and(|step| step.finish.is_some()));
        }
        assert!(late.try_recv().is_err(), "it waits for its first mask");
        // One that waits is cancelled like any other.
        let stopped = CancellationToken::new();
        let mut other = engine
            .generate(request(Some(CHOICE), 8), stopped.clone())
            .unwrap();
        stopped.cancel();
        let ended = other.recv().await;
        assert!(matches!(ended, Some(Err(crate::EngineError::Cancelled))));
        release.send(()).unwrap();
        holder.join().unwrap();
        let mut steps = Vec::new();
        while let Some(step) = late.recv().await {
            steps.push(step.unwrap());
        }
        let text: String = steps.iter().map(|step| step.text.as_str()).collect();
        assert!(["yes", "no"].contains(&text.as_str()), "{text}");
        let again = all(&engine, request(Some(CHOICE), 8)).await;
        assert_eq!(again, steps);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn every_pass_beside_answers_whose_masks_are_late_takes_the_other_one_on() {
        let passes = Passes::default();
        let engine = noting(&passes).await;
        let (release, holder) = hold(&engine);
        let late = || engine.generate(request(Some(CHOICE), 8), CancellationToken::new());
        let mut late: Vec<_> = (0..3).map(|_| late().unwrap()).collect();
        let ends = engine.formatter().eos_ids().iter();
        let options = Options {
            logit_bias: ends.map(|end| (*end, -100_000)).collect(),
            ..Options::default()
        };
        let other = GenerateRequest {
            sampler: Sampler::Full {
                seed: [7; 32],
                temperature_milli: 1_000,
                options: Arc::new(options),
            },
            ..request(None, 24)
        };
        assert_eq!(all(&engine, other).await.len(), 24);
        let noted = std::mem::take(&mut *passes.lock().unwrap());
        let first = noted.iter().position(|pass| pass.contains(&PROMPT));
        let own = &noted[first.expect("a token that it made")..];
        // The last token that it makes is not read.
        assert_eq!(own.len(), 23, "{noted:?}");
        for (made, pass) in own.iter().enumerate() {
            assert!(pass.contains(&(PROMPT + made)), "{noted:?}");
        }
        for steps in &mut late {
            assert!(steps.try_recv().is_err(), "it waits for its first mask");
        }
        release.send(()).unwrap();
        holder.join().unwrap();
        for steps in &mut late {
            let step = steps.recv().await;
            assert!(step.is_some_and(|step| step.is_ok()));
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_grammar_that_cant_be_followed_ends_its_own_answer() {
        let engine = engine().await;
        assert!(engine.check_grammar("start: \"a\"\n").await.is_ok());
        let nonsense = "start: <|nobody|>\n";
        assert!(engine.check_grammar(nonsense).await.is_err());
        let cancel = CancellationToken::new();
        let mut steps = engine.generate(request(Some(nonsense), 8), cancel).unwrap();
        let ended = steps.recv().await;
        assert!(matches!(ended, Some(Err(crate::EngineError::Grammar(_)))));
        assert!(steps.recv().await.is_none());
        assert!(!all(&engine, request(None, 4)).await.is_empty());
    }
}
