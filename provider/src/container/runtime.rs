//! What runs containers: one small trait, whatever is behind it. Every step may be taken again after a crash, and finds what is there.

use anyhow::Result;
use async_trait::async_trait;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::mpsc,
};

use crate::spec::ContainerSpec;

/// MiB of the machine's disk that are left to the machine, whatever is unpacked and promised.
pub const SPARE_MIB: u64 = 1_024;

/// All that a container is made of.
#[derive(Clone)]
pub struct Plan {
    /// Its name: base58 address of the lease.
    pub id: String,
    /// Newest slot when it was planned: a chain that answers of an older one knows nothing of its lease.
    pub slot: u64,
    /// The image's digest.
    pub image: String,
    /// Where Docker pulls it.
    pub repository: String,
    /// Words of the tenant's command; none = the image's.
    pub command: Vec<String>,
    pub environment: Vec<(String, String)>,
    /// Thousandths of a core.
    pub cpu_milli: u32,
    pub memory_mib: u32,
    pub pids: u32,
    pub disk_mib: u32,
    /// Number of its network, which no other container of the provider has.
    pub place: u16,
}

/// How a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// There is none.
    Absent,
    /// It is made, and its command does not run yet.
    Created,
    Running,
    Frozen,
    /// Its command has ended.
    Ended,
}

/// What became of a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Begun {
    /// Its command runs.
    Runs,
    /// The machine did its part, and there is no such command, for this reason.
    Refused(String),
}

/// What runc says where the command is what is wrong, or the directory in which it begins.
const REFUSALS: [&str; 2] = [": exec: ", ": chdir to cwd"];
/// Characters of it that are told.
const REFUSAL: usize = 400;

/// Why a container's command can't be run, if that is all that is wrong.
pub fn refusal(told: &str) -> Option<String> {
    let at = REFUSALS.iter().find_map(|said| told.find(*said))?;
    let why = told.get(at + 2..)?.chars().filter(|c| *c != '\\');
    Some(
        why.take(REFUSAL)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect::<String>()
            .trim()
            .to_owned(),
    )
}

/// A container of this provider that somebody started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labelled {
    pub id: String,
    /// [`Plan::slot`].
    pub slot: u64,
    /// [`Plan::place`], where it is noted.
    pub place: Option<u16>,
}

/// Rows and columns of a terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    pub rows: u16,
    pub columns: u16,
}

/// A command beside the container's own.
#[derive(Debug, Clone)]
pub struct Exec {
    pub command: Vec<String>,
    /// A terminal of this kind and size; none = pipes.
    pub terminal: Option<(String, Size)>,
}

/// A signal to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    Interrupt,
    Terminate,
    HangUp,
}

/// Bytes into a command.
pub type Input = Box<dyn AsyncWrite + Send + Unpin>;
/// Bytes from it.
pub type Output = Box<dyn AsyncRead + Send + Unpin>;

/// A command that runs.
pub struct Process {
    pub input: Input,
    pub output: Output,
    /// Beside a terminal there is none.
    pub errors: Option<Output>,
    pub control: Box<dyn Control>,
}

/// What can be done about a command that runs. Dropped, it is told that its user hung up.
#[async_trait]
pub trait Control: Send {
    fn resize(&self, size: Size);
    fn signal(&self, signal: Signal);
    /// Waits for its end; gives its exit code.
    async fn wait(&mut self) -> Result<u32>;
}

/// Runs containers.
#[async_trait]
pub trait Runtime: Send + Sync {
    /// `runc` or `docker`.
    fn name(&self) -> &'static str;

    /// Makes sure that a container of this spec could start, with its image at hand, which may take as long as fetching and unpacking it;
    /// else says to its tenant why not.
    async fn ready(
        &self,
        spec: &ContainerSpec,
        environment: &[(String, String)],
    ) -> Result<(), String>;

    /// MiB that disks of further containers can have when those that were promised are made: containers, and MiB of each.
    fn room(&self, promised: &[(String, u32)]) -> Result<u64>;

    /// Makes a container with its disk and its network, and starts its command. One that runs stays as it is, thawed; of one that ended the
    /// command starts again on the same disk.
    async fn start(&self, plan: &Plan) -> Result<Begun>;

    /// How a container is.
    async fn inspect(&self, id: &str) -> Result<Seen>;

    /// Whether its command is known to run, frozen or not; told at once. What is not known here [`Self::inspect`] finds out.
    fn is_running(&self, id: &str) -> bool;

    /// Does what is due about one that runs, every few seconds.
    async fn tend(&self, id: &str) -> Result<()>;

    /// Ends a container and removes everything of it. One that is not there is no error.
    async fn remove(&self, id: &str) -> Result<()>;

    /// Ends all its processes, whatever became of them; its command can start again.
    async fn kill(&self, id: &str) -> Result<()>;

    /// Holds all its processes.
    async fn freeze(&self, id: &str) -> Result<()>;

    /// Lets them go on.
    async fn thaw(&self, id: &str) -> Result<()>;

    /// Runs a command in it.
    async fn exec(&self, id: &str, exec: Exec) -> Result<Process>;

    /// Connects to a port that is listened on inside, on all its addresses or on loopback.
    async fn dial(&self, id: &str, port: u16) -> Result<TcpStream>;

    /// What its command wrote, the oldest that is kept first; and what it writes from then on, if `follow`.
    async fn logs(&self, id: &str, follow: bool) -> Result<mpsc::Receiver<Vec<u8>>>;

    /// Lays the rules of the network out again where they are not what they were, and lets packets past Docker's again; says whether ours had
    /// been changed.
    async fn uphold(&self) -> Result<bool>;

    /// Puts a line into its log.
    async fn remark(&self, id: &str, line: &str) -> Result<()>;

    /// The containers of this provider.
    async fn list(&self) -> Result<Vec<Labelled>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_can_t_be_run_is_told_from_a_machine_that_can_t() {
        let said = r#"time="x" level=error msg="runc create failed: unable to start container process: exec: \"/nope\": stat /nope: no such file or directory""#;
        let why = refusal(said).unwrap();
        assert!(
            why.starts_with("exec: \"/nope\": stat /nope: no such file"),
            "{why}"
        );
        let newer = "runc create failed: unable to start container process: error during container init: exec: \"x\"";
        assert!(refusal(newer).is_some());
        let machine = "runc create failed: unable to start container process: error during container init: error mounting \"proc\"";
        assert_eq!(refusal(machine), None);
        assert_eq!(refusal(""), None);
    }
}
