//! Masks, made beside the passes: threads of their own follow each answer through its grammar, so that no grammar holds up a
//! request without one. A row whose mask is late waits for it, and nothing but its own answer waits with it.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
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
        match self.made.try_recv() {
            Ok(made) => Some(made),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => None,
        }
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
