//! The kernel takes all of a transaction or nothing.
//!
//! What a transaction deletes is out of every packet's way at once, and freed when none of the kernel's readers has it in hand any more
//! (RCU): some ten milliseconds later. Nobody waits for that but who closes a netlink socket of netfilter, whoever it is, and he waits with
//! the lock in his hand without which nobody else's transaction begins (`nft_rcv_nl_event()` of net/netfilter/nf_tables_api.c). So
//! connections are [`Kept`].

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Result, anyhow};
use rustix::io::Errno;
use rustix::net::sockopt;

use super::encode::{self, Kind, batch, delete, get_chain, get_table, list_chains};
use super::{Element, Table};
use crate::error::{Attempt, Refusal, errno};
use crate::netlink::{ACKNOWLEDGE, Message, Socket, attributes};

/// A connection to nf_tables.
#[derive(Debug)]
pub(in crate::network) struct Connection(Socket);

/// A connection that is opened when it is needed first, in the network namespace that the thread is in then, and stays until something
/// goes wrong: an answer that nobody has read would be taken for that to the next question.
#[derive(Debug, Clone, Default)]
pub(in crate::network) struct Kept(Arc<Mutex<Option<Connection>>>);

impl Kept {
    /// Does something over it.
    pub(in crate::network) fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = kept.take().map_or_else(Connection::open, Ok)?;
        let done = work(&connection);
        *kept = Some(connection).filter(|_| done.is_ok());
        done
    }

    /// The same; where the kernel has no nftables there is nothing to be done.
    pub(in crate::network) fn if_there(&self, work: impl FnOnce(&Connection) -> Result<()>) -> Result<()> {
        match self.with(work) {
            Err(error) if errno(&error) == Some(Errno::PROTONOSUPPORT) => Ok(()),
            done => done,
        }
    }
}

/// A chain of somebody's that packets go through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::network) struct BaseChain {
    /// Of AF_*; 1 is `inet`.
    pub(in crate::network) family: u8,
    pub(in crate::network) table: String,
    pub(in crate::network) name: String,
    /// NF_INET_*
    pub(in crate::network) hook: u32,
    pub(in crate::network) drops: bool,
}

impl Connection {
    /// Opens one, in the network namespace that this thread is in.
    pub(in crate::network) fn open() -> Result<Connection> {
        Socket::netfilter().map(Connection).map_err(without_nftables)
    }

    /// The socket, for what else there is of netfilter.
    pub(in crate::network) fn socket(&self) -> &Socket {
        &self.0
    }

    /// Makes a table, in place of the one of its name if there is one.
    pub(in crate::network) fn replace(&self, table: &Table) -> Result<()> {
        let what = || format!("load the nftables table inet {}", table.name);
        let is_there = self.is_there(get_table(&table.name)?)?;
        let messages = if is_there { encode::replace(table)? } else { encode::make(table)? };
        self.commit(messages).map_err(|error| without_nftables(error).context(what()))
    }

    /// Deletes a table; one that isn't there is deleted.
    pub(in crate::network) fn delete(&self, name: &str) -> Result<()> {
        match self.commit(vec![delete(name)?]) {
            Err(Errno::NOENT) => Ok(()),
            deleted => deleted.attempt(|| format!("delete the nftables table inet {name}")),
        }
    }

    /// Adds elements to sets.
    pub(in crate::network) fn add(&self, table: &str, elements: &[(&'static str, Element)]) -> Result<()> {
        let messages = self.messages(Kind::NewElements, table, elements)?;
        self.commit(messages).attempt(|| format!("publish ports in the nftables table inet {table}"))
    }

    /// Deletes elements of sets, all that are there.
    pub(in crate::network) fn remove(&self, table: &str, elements: &[(&'static str, Element)]) -> Result<()> {
        let what = || format!("take published ports out of the nftables table inet {table}");
        match self.commit(self.messages(Kind::DeleteElements, table, elements)?) {
            Err(Errno::OPNOTSUPP) => return Ok(()),
            Err(Errno::NOENT) => {}
            removed => return removed.attempt(what),
        }
        // Some are missing: a killed process never came to make them, or somebody has flushed the table.
        for element in elements {
            match self.commit(self.messages(Kind::DeleteElements, table, std::slice::from_ref(element))?) {
                Ok(()) | Err(Errno::NOENT) => {}
                Err(error) => return Err(error).attempt(what),
            }
        }
        Ok(())
    }

    /// Whether a chain is there.
    pub(in crate::network) fn has_chain(&self, table: &str, chain: &str) -> Result<bool> {
        self.is_there(get_chain(table, chain)?)
    }

    fn is_there(&self, question: Message) -> Result<bool> {
        match self.0.get(question) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(without_nftables(error)),
        }
    }

    /// All chains that packets go through.
    pub(in crate::network) fn base_chains(&self) -> Result<Vec<BaseChain>> {
        let mut chains = Vec::new();
        self.0.list(list_chains(), |body| chains.extend(base_chain(body)))?;
        Ok(chains)
    }

    fn messages(&self, kind: Kind, table: &str, elements: &[(&'static str, Element)]) -> Result<Vec<Message>> {
        let mut messages = Vec::new();
        for one_set in elements.chunk_by(|(one, _), (other, _)| one == other) {
            let of_set: Vec<Element> = one_set.iter().map(|(_, element)| element.clone()).collect();
            messages.extend(encode::elements(kind, table, one_set[0].0, &of_set)?);
        }
        Ok(messages)
    }

    /// Sends a transaction and waits for the answer: that of the last message, or the first refusal.
    fn commit(&self, messages: Vec<Message>) -> Result<(), Errno> {
        if messages.is_empty() {
            return Ok(());
        }
        let last = messages.len() as u32;
        let mut bytes = batch(true).numbered(0).finished(0);
        for (number, message) in (1..).zip(messages) {
            let flags = if number == last { ACKNOWLEDGE } else { 0 };
            bytes.extend(message.numbered(number).finished(flags));
        }
        bytes.extend(batch(false).numbered(last + 1).finished(0));
        self.make_room(bytes.len());
        self.0.send(&bytes)?;
        let mut first = Ok(());
        let mut is_last = false;
        while !is_last {
            self.0.answers(|number, answer| {
                first = first.and(answer);
                // A refusal of the whole is that of its beginning, and may be all that comes.
                is_last |= number == last || (number == 0 && first.is_err());
            })?;
        }
        if first.is_err() {
            // Further refusals of the same transaction are nobody's answers.
            self.0.drain();
        }
        first
    }

    /// A transaction is one packet, and a socket's buffer is sized for small ones. Who may change rules may do this.
    fn make_room(&self, bytes: usize) {
        if bytes > 100_000 {
            let _ = sockopt::set_socket_send_buffer_size_force(&self.0, bytes * 2);
            // Refusals come one for each message.
            let _ = sockopt::set_socket_recv_buffer_size_force(&self.0, bytes * 4);
        }
    }
}

/// Words for a kernel that doesn't know what it is asked.
fn without_nftables(error: Errno) -> anyhow::Error {
    match error {
        Errno::PROTONOSUPPORT | Errno::OPNOTSUPP | Errno::AFNOSUPPORT => anyhow::Error::new(Refusal(error))
            .context("this kernel has no nftables, which networks need (CONFIG_NF_TABLES_INET, CONFIG_NFT_NAT)"),
        other => anyhow!(Refusal(other)).context("ask nftables"),
    }
}

fn base_chain(body: &[u8]) -> Option<BaseChain> {
    let family = *body.first()?;
    let attributes = attributes(body.get(4..)?);
    let find = |kind| attributes.iter().find(|(one, _)| one & 0x3fff == kind).map(|(_, value)| *value);
    let text = |kind| {
        let bytes = find(kind)?;
        Some(String::from_utf8_lossy(bytes.strip_suffix(b"\0").unwrap_or(bytes)).into_owned())
    };
    let number = |bytes: &[u8]| bytes.first_chunk().map(|bytes| u32::from_be_bytes(*bytes));
    let hook = crate::netlink::attributes(find(4)?).into_iter().find(|(kind, _)| kind & 0x3fff == 1);
    Some(BaseChain {
        family,
        table: text(1)?,
        name: text(3)?,
        hook: number(hook?.1)?,
        drops: find(5).and_then(number) == Some(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_unread_is_nobodys_answer() {
        let kept = Kept::default();
        let failed = kept.with(|rules| {
            // Refused: it is part of no transaction.
            rules.0.send(&delete("nonesuch")?.finished(ACKNOWLEDGE))?;
            Err::<(), _>(anyhow!("it went wrong"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "it went wrong");
        assert!(!kept.with(|rules| rules.has_chain("nonesuch", "nonesuch")).unwrap());
    }
}
