//! `--fault VENDOR:KIND[=TIME][@N]`: what goes wrong at a simulator, and with which of its connections.

use std::{collections::BTreeMap, str::FromStr};

use trunkline_sim::fault::{Fault, Script};

use crate::cli::units::duration;

/// Who fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Vendor {
    /// The recogniser's sockets.
    Deepgram,
    /// The voice's sockets.
    ElevenLabs,
    /// The model's completions.
    OpenAi,
    /// The carrier's REST requests.
    Twilio,
    /// The other model's messages.
    Anthropic,
    /// The other carrier's REST requests.
    Vonage,
    /// The requests for records.
    Salesforce,
    /// The project's Auth, but for its keys.
    Supabase,
}

/// One fault, as it is typed.
#[derive(Debug, Clone, PartialEq)]
pub struct FaultArg {
    vendor: Vendor,
    fault: Fault,
    /// Which connection it strikes, from 1; `None`: the first that no other fault strikes.
    connection: Option<usize>,
}

/// The faults of each simulator.
#[derive(Debug, Clone, Default)]
pub struct Faults(BTreeMap<Vendor, Script>);

/// The most connections that may be counted off: a script holds one entry for each.
const MOST: usize = 10_000;

pub(super) const HELP: &str = "What goes wrong: VENDOR:KIND[=TIME][@N], where VENDOR is deepgram, elevenlabs, openai, twilio, anthropic, vonage, \
    salesforce or supabase. KIND is \
    refuse=STATUS[/RETRY_AFTER_S], hang, drop-after=TIME, stall-after=TIME, garbage-after=TIME or error-after=TIME/CODE. @N names the \
    connection (for all but deepgram and elevenlabs: the request), counted from 1; without it, the next one that nothing else strikes. May be \
    given more than once. Example: deepgram:drop-after=3s@2";

impl FromStr for FaultArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: String| format!("{what}: write VENDOR:KIND[=TIME][@N], such as deepgram:drop-after=3s@2");
        let (vendor, rest) = text.split_once(':').ok_or_else(|| wrong("there is no vendor".into()))?;
        let vendor = match vendor {
            "deepgram" => Vendor::Deepgram,
            "elevenlabs" => Vendor::ElevenLabs,
            "openai" => Vendor::OpenAi,
            "twilio" => Vendor::Twilio,
            "anthropic" => Vendor::Anthropic,
            "vonage" => Vendor::Vonage,
            "salesforce" => Vendor::Salesforce,
            "supabase" => Vendor::Supabase,
            other => {
                let known = "deepgram, elevenlabs, openai, twilio, anthropic, vonage, salesforce and supabase";
                return Err(wrong(format!("{other:?} is none of {known}")));
            }
        };
        let (fault, connection) = match rest.split_once('@') {
            None => (rest, None),
            Some((fault, number)) => {
                let number = number.parse().ok().filter(|number| (1..=MOST).contains(number));
                (fault, Some(number.ok_or_else(|| wrong(format!("@N must be between 1 and {MOST}")))?))
            }
        };
        let fault = read(fault).map_err(wrong)?;
        Ok(Self { vendor, fault, connection })
    }
}

fn read(text: &str) -> Result<Fault, String> {
    let (kind, argument) = text.split_once('=').map_or((text, None), |(kind, argument)| (kind, Some(argument)));
    let needed = || argument.ok_or_else(|| format!("{kind} needs a value"));
    Ok(match kind {
        "hang" => Fault::Hang,
        "refuse" => {
            let (status, retry) = needed()?.split_once('/').map_or((needed()?, None), |(a, b)| (a, Some(b)));
            let status = status.parse().ok().filter(|status| (400..=599).contains(status));
            let status = status.ok_or("refuse needs an HTTP status from 400 to 599")?;
            let retry_after = retry.map(str::parse).transpose().map_err(|_| "RETRY_AFTER_S is a number of seconds")?;
            Fault::Refuse { status, retry_after }
        }
        "drop-after" => Fault::DropAfter(duration(needed()?)?),
        "stall-after" => Fault::StallAfter(duration(needed()?)?),
        "garbage-after" => Fault::GarbageAfter(duration(needed()?)?),
        "error-after" => {
            let (after, code) = needed()?.split_once('/').ok_or("error-after needs TIME/CODE, such as 2s/NET-0001")?;
            Fault::ErrorAfter(duration(after)?, code.to_owned())
        }
        other => return Err(format!("{other:?} is no kind of fault")),
    })
}

impl Faults {
    /// Orders the faults by connection.
    pub fn new(faults: impl IntoIterator<Item = FaultArg>) -> Self {
        let mut fates: BTreeMap<Vendor, Vec<Option<Fault>>> = BTreeMap::new();
        let (numbered, next): (Vec<_>, Vec<_>) = faults.into_iter().partition(|fault| fault.connection.is_some());
        for fault in numbered.into_iter().chain(next) {
            let fates = fates.entry(fault.vendor).or_default();
            let free = || fates.iter().position(Option::is_none).unwrap_or(fates.len());
            let place = fault.connection.map_or_else(free, |number| number - 1);
            if fates.len() <= place {
                fates.resize(place + 1, None);
            }
            fates[place] = Some(fault.fault);
        }
        Self(fates.into_iter().map(|(vendor, fates)| (vendor, Script::new(fates))).collect())
    }

    /// The script of one simulator.
    pub fn script(&self, vendor: Vendor) -> Script {
        self.0.get(&vendor).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn faults_strike_the_connections_that_they_name() {
        let faults = ["deepgram:hang", "deepgram:drop-after=3s@1", "openai:refuse=429/2@3", "deepgram:refuse=503"];
        let faults = Faults::new(faults.map(|text| text.parse().unwrap()));
        let deepgram = faults.script(Vendor::Deepgram);
        let refused = Fault::Refuse { status: 503, retry_after: None };
        let fates: Vec<_> = (0..4).map(|_| deepgram.next()).collect();
        assert_eq!(fates, [Some(Fault::DropAfter(Duration::from_secs(3))), Some(Fault::Hang), Some(refused), None]);
        let openai = faults.script(Vendor::OpenAi);
        let throttled = Fault::Refuse { status: 429, retry_after: Some(2) };
        assert_eq!([openai.next(), openai.next(), openai.next()], [None, None, Some(throttled)]);
        assert_eq!(faults.script(Vendor::Twilio).remaining(), 0);
    }

    #[test]
    fn a_fault_that_cannot_be_read_says_why() {
        for (text, why) in [
            ("hang", "there is no vendor"),
            ("acme:hang", "\"acme\" is none of"),
            ("deepgram:explode", "\"explode\" is no kind of fault"),
            ("deepgram:drop-after", "drop-after needs a value"),
            ("deepgram:drop-after=3", "no length of time"),
            ("deepgram:refuse=200", "an HTTP status from 400 to 599"),
            ("deepgram:hang@0", "between 1 and"),
            ("elevenlabs:error-after=2s", "TIME/CODE"),
        ] {
            let error = text.parse::<FaultArg>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
