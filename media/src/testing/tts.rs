//! A voice that speaks at so many milliseconds a character, in a tone that names the reply.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

use crate::{
    audio::AudioFormat,
    ids::ReplyId,
    tts::{AlignedChar, EVENT_BACKLOG, TtsCommand, TtsEvent, TtsSession},
};

/// How a [`FakeTts`] speaks.
#[derive(Debug, Clone)]
pub struct FakeTtsScript {
    /// What its audio is: bytes of value `1 + reply % 100`, so that a frame tells whose it is.
    pub format: AudioFormat,
    /// Instead of that, a byte tells its position in the reply, modulo 251, so that nothing can be missing, doubled or swapped unseen.
    pub counted: bool,
    /// How many bytes a piece of audio has at the most; `None`: a clause is one piece.
    pub piece: Option<usize>,
    /// From a clause to its audio.
    pub ttfb: Duration,
    /// How long a character lasts.
    pub per_char: Duration,
    /// Whether it says where its characters are.
    pub aligned: bool,
    /// Replies of which it fails to speak anything.
    pub fails: BTreeSet<u32>,
    /// Replies of which it never says that they are done.
    pub stalls: BTreeSet<u32>,
}

impl Default for FakeTtsScript {
    fn default() -> Self {
        Self {
            format: AudioFormat::MULAW_8K,
            counted: false,
            piece: None,
            ttfb: Duration::from_millis(100),
            per_char: Duration::from_millis(50),
            aligned: true,
            fails: BTreeSet::new(),
            stalls: BTreeSet::new(),
        }
    }
}

/// What was asked of a voice.
#[derive(Debug)]
pub struct FakeTts {
    /// Every command, in order.
    pub commands: mpsc::UnboundedReceiver<TtsCommand>,
}

impl FakeTts {
    /// A session that speaks as the script says.
    pub fn open(script: FakeTtsScript) -> (TtsSession, Self) {
        let (commands, mut asked) = mpsc::channel::<TtsCommand>(256);
        let (says, events) = mpsc::channel(EVENT_BACKLOG);
        let (note, noted) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            let mut cancelled = BTreeSet::new();
            let mut spoken: BTreeMap<ReplyId, usize> = BTreeMap::new();
            let mut pending: std::collections::VecDeque<(Instant, TtsEvent)> = std::collections::VecDeque::new();
            loop {
                let due = pending.front().map(|(at, _)| *at);
                tokio::select! {
                    biased;
                    command = asked.recv() => {
                        let Some(command) = command else { return };
                        let _ = note.send(command.clone());
                        if let TtsCommand::Cancel { reply } = &command {
                            cancelled.insert(*reply);
                        }
                        let at = now() + script.ttfb;
                        pending.extend(script.answer(command, &mut spoken).into_iter().map(|event| (at, event)));
                    }
                    () = sleep_until(due.unwrap_or_else(now)), if due.is_some() => {
                        let Some((_, event)) = pending.pop_front() else { continue };
                        let stale = matches!(&event, TtsEvent::Audio { reply, .. } | TtsEvent::Done { reply } if cancelled.contains(reply));
                        if !stale && says.send(event).await.is_err() {
                            return;
                        }
                    }
                }
            }
        });
        let task = Some(AbortOnDropHandle::new(task));
        (TtsSession { commands, events, task }, Self { commands: noted })
    }

    /// All that it was given to speak since this was last asked, by reply.
    pub fn texts(&mut self) -> Vec<(ReplyId, String)> {
        let mut texts: Vec<(ReplyId, String)> = Vec::new();
        while let Ok(command) = self.commands.try_recv() {
            if let TtsCommand::Speak { reply, text } = command {
                match texts.last_mut() {
                    Some((last, whole)) if *last == reply => whole.push_str(&text),
                    _ => texts.push((reply, text)),
                }
            }
        }
        texts
    }
}

impl FakeTtsScript {
    /// `spoken`: how many bytes of each reply there have been so far.
    fn answer(&self, command: TtsCommand, spoken: &mut BTreeMap<ReplyId, usize>) -> Vec<TtsEvent> {
        match command {
            TtsCommand::Speak { reply, .. } if self.fails.contains(&reply.0) => {
                vec![TtsEvent::Failed { reply, cause: "scripted".into() }]
            }
            TtsCommand::Speak { reply, text } => self.speak(reply, &text, spoken.entry(reply).or_default()),
            TtsCommand::Finish { reply } if !self.stalls.contains(&reply.0) => vec![TtsEvent::Done { reply }],
            TtsCommand::Finish { .. } | TtsCommand::Cancel { .. } | TtsCommand::Close => Vec::new(),
        }
    }

    fn speak(&self, reply: ReplyId, text: &str, spoken: &mut usize) -> Vec<TtsEvent> {
        let chars: Vec<char> = text.chars().collect();
        let length = self.format.rate.samples_in(self.per_char * chars.len() as u32).0 as usize
            * self.format.encoding.bytes_per_sample();
        let mut rest: Bytes = if self.counted {
            (*spoken..*spoken + length).map(|n| (n % 251) as u8).collect()
        } else {
            vec![1 + (reply.0 % 100) as u8; length].into()
        };
        *spoken += length;
        let aligned =
            |(i, ch): (usize, &char)| AlignedChar { ch: *ch, start: self.per_char * i as u32, duration: self.per_char };
        let mut alignment = if self.aligned { chars.iter().enumerate().map(aligned).collect() } else { Vec::new() };
        let mut events = Vec::new();
        while !rest.is_empty() {
            let audio = rest.split_to(self.piece.unwrap_or(rest.len()).min(rest.len()));
            // All of a clause's characters come with its first piece, as vendors do that send text ahead of sound.
            events.push(TtsEvent::Audio { reply, audio, alignment: std::mem::take(&mut alignment) });
        }
        events
    }
}

fn now() -> Instant {
    trunkline_base::Clock::now(&trunkline_base::SystemClock)
}
