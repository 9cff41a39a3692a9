//! The report of a stream in the making, and the live channel beside it.

use std::time::Duration;

use super::{
    PhoneConfig,
    activity::Change,
    playback::PlaybackReport,
    report::{INVALID_LIMIT, PhoneEvent, PhoneEventKind, PhoneReport, StreamEnd, Warning},
    wire::{Invalid, Sids},
};

/// The report in the making.
pub(crate) struct Log<'a> {
    pub(crate) report: PhoneReport,
    config: &'a PhoneConfig,
}

impl<'a> Log<'a> {
    pub(crate) fn new(sids: &Sids, url: &str, config: &'a PhoneConfig) -> Self {
        let report = PhoneReport {
            sids: sids.clone(),
            url: url.to_owned(),
            started: None,
            duration: Duration::ZERO,
            said: Vec::new(),
            playback: PlaybackReport::default(),
            marks: Vec::new(),
            warnings: Vec::new(),
            invalid: Vec::new(),
            invalid_count: 0,
            sent: 0,
            lost: 0,
            worst_lateness: Duration::ZERO,
            events: Vec::new(),
            ended: StreamEnd::HungUp,
        };
        Self { report, config }
    }

    pub(crate) fn event(&mut self, at: Duration, kind: PhoneEventKind) {
        let event = PhoneEvent { at, kind };
        if let Some(events) = &self.config.events {
            // Nobody may be listening any more.
            let _ = events.send(event.clone());
        }
        self.report.events.push(event);
    }

    pub(crate) fn agent(&mut self, change: Option<Change>) {
        match change {
            Some(Change::Started(at)) => self.event(at, PhoneEventKind::AgentStartedSpeaking),
            Some(Change::Stopped(at)) => self.event(at, PhoneEventKind::AgentStoppedSpeaking),
            None => {}
        }
    }

    pub(crate) fn caller(&mut self, change: Option<Change>) {
        match change {
            Some(Change::Started(at)) => self.event(at, PhoneEventKind::CallerStartedSpeaking),
            Some(Change::Stopped(at)) => self.event(at, PhoneEventKind::CallerStoppedSpeaking),
            None => {}
        }
    }

    pub(crate) fn warn(&mut self, at: Duration, code: u32, detail: String) {
        if !self.report.has_warning(code) {
            let warning = Warning { code, at, detail };
            self.report.warnings.push(warning.clone());
            self.event(at, PhoneEventKind::Warning(warning));
        }
    }

    pub(crate) fn invalid(&mut self, at: Duration, invalid: Invalid) {
        self.warn(at, 31951, invalid.to_string());
        self.report.invalid_count += 1;
        if self.report.invalid.len() < INVALID_LIMIT {
            self.report.invalid.push(invalid);
        }
    }
}
