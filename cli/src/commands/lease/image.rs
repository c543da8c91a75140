//! What the tenant of a container types: its image, its bounds, its environment, who may enter.

use super::ssh::LoginKey;
use crate::exit::{self, Exit};
use anyhow::{Context, Result};
use clap::Args;
use mythic_provider::spec::{
    ContainerSpec,
    container::{Sealed, Unsealed, is_variable, ssh_key},
};
use std::path::PathBuf;

/// A container instead of an endpoint.
#[derive(Args, Debug, Clone, Default)]
pub struct ContainerArgs {
    /// Lease a container of this image instead of an endpoint: `sha256:` and the digest of its manifest, which the provider must have
    #[arg(long, conflicts_with = "model")]
    pub image: Option<String>,
    /// Variable of its environment, NAME=VALUE, or NAME for the value that it has here; the chain and the spec have a salted hash
    #[arg(long = "env", value_name = "NAME=VALUE", requires = "image")]
    pub environment: Vec<String>,
    /// Thousandths of a core
    #[arg(long, default_value_t = 1_000, requires = "image")]
    pub cpu_milli: u32,
    /// Memory, MiB
    #[arg(long, default_value_t = 512, requires = "image")]
    pub memory_mib: u32,
    /// Processes and threads
    #[arg(long, default_value_t = 256, requires = "image")]
    pub pids: u32,
    /// Repository from which a provider with Docker has the image, without a tag [default: none, as with runc]
    #[arg(
        long,
        default_value = "",
        hide_default_value = true,
        requires = "image"
    )]
    pub repository: String,
    /// Disk, MiB: what it writes, its volume at /volume, its logs
    #[arg(long, default_value_t = 2_048, requires = "image")]
    pub disk_mib: u32,
    /// TCP port of the container that the provider publishes
    #[arg(long, value_name = "PORT", requires = "image")]
    pub publish: Vec<u16>,
    /// File of a public key that may log in too; one that is made for this lease always may
    #[arg(long, value_name = "FILE", requires = "image")]
    pub ssh_key: Vec<PathBuf>,
    /// Command that runs in it [default: the image's own]
    #[arg(last = true, requires = "image")]
    pub command: Vec<String>,
}

impl ContainerArgs {
    /// What is asked for, and the values that only the provider is told.
    pub fn spec(&self, image: &str, key: &LoginKey) -> Result<(ContainerSpec, Vec<Unsealed>)> {
        let mut ssh_keys = vec![key.public()?];
        for file in &self.ssh_key {
            let text = std::fs::read_to_string(file);
            let text = text.with_context(|| format!("--ssh-key {}", file.display()))?;
            let line = text.trim();
            if ssh_key(line).is_none() {
                return Err(Exit::error(
                    exit::USAGE,
                    format!(
                        "--ssh-key {}: no public key of kind Ed25519 or ECDSA",
                        file.display()
                    ),
                ));
            }
            ssh_keys.push(line.to_owned());
        }
        let told = self.values()?;
        let environment = told
            .iter()
            .map(|(salt, told)| Sealed::new(salt, &told.name, &told.value));
        let spec = ContainerSpec {
            image: image.to_owned(),
            repository: self.repository.clone(),
            command: self.command.clone(),
            environment: environment.collect(),
            cpu_milli: self.cpu_milli,
            memory_mib: self.memory_mib,
            pids: self.pids,
            disk_mib: self.disk_mib,
            ports: self.publish.clone(),
            ssh_keys,
        };
        spec.check()
            .map_err(|error| Exit::error(exit::USAGE, error.to_string()))?;
        Ok((spec, told.into_iter().map(|(_, told)| told).collect()))
    }

    fn values(&self) -> Result<Vec<([u8; 16], Unsealed)>> {
        let value = |variable: &String| {
            let (name, value) = match variable.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (variable.as_str(), std::env::var(variable).ok()),
            };
            let refuse = |message: &str| {
                let message = format!("--env {name}: {message}");
                Exit::error(exit::USAGE, message)
            };
            if !is_variable(name) {
                return Err(refuse(
                    "letters, digits and `_` make a name, and no digit begins it",
                ));
            }
            let value = value.ok_or_else(|| refuse("it has no value here"))?;
            let salt: [u8; 16] = rand::random();
            let told = Unsealed {
                name: name.to_owned(),
                salt: hex::encode(salt),
                value,
            };
            Ok((salt, told))
        };
        self.environment.iter().map(value).collect()
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A small container.
    pub fn args() -> ContainerArgs {
        ContainerArgs {
            environment: vec!["TOKEN=a=b".into()],
            cpu_milli: 500,
            memory_mib: 64,
            pids: 32,
            disk_mib: 64,
            publish: vec![80],
            command: vec!["/bin/sh".into()],
            ..ContainerArgs::default()
        }
    }

    /// Its image.
    pub fn image() -> String {
        format!("sha256:{}", "ab".repeat(32))
    }

    #[test]
    fn what_is_typed_is_a_spec_that_its_values_open() {
        let key = LoginKey::fresh();
        let (spec, told) = args().spec(&image(), &key).unwrap();
        assert_eq!(spec.ssh_keys, [key.public().unwrap()]);
        let open = spec.unseal(&told).unwrap();
        assert_eq!(open, [("TOKEN".to_owned(), "a=b".to_owned())]);
        for (bad, words) in [
            (
                ContainerArgs {
                    environment: vec!["1=2".into()],
                    ..args()
                },
                "--env 1",
            ),
            (
                ContainerArgs {
                    environment: vec!["NO_SUCH_VARIABLE_HERE".into()],
                    ..args()
                },
                "no value here",
            ),
            (
                ContainerArgs {
                    memory_mib: 1,
                    ..args()
                },
                "memory_mib = 1",
            ),
            (
                ContainerArgs {
                    ssh_key: vec!["/no/such".into()],
                    ..args()
                },
                "--ssh-key /no/such",
            ),
        ] {
            let refused = format!("{:#}", bad.spec(&image(), &key).err().unwrap());
            assert!(refused.contains(words), "{refused}");
        }
        assert!(args().spec("latest", &key).is_err());
    }
}
