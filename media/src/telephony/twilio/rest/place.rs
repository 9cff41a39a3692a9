//! Placing a call, and finding it again when nobody knows whether it was placed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use trunkline_base::E164;

use super::{CallStatus, RestError, TwilioRest, is_sid};

/// How many calls of a pair of numbers are looked at, the newest first.
const LISTED: usize = 20;
/// The events of a call's life that a status callback may tell.
const EVENTS: [&str; 4] = ["initiated", "ringing", "answered", "completed"];
/// How long a call may ring, in seconds.
const RING: (u64, u64) = (1, 600);
/// How long detection may take, in seconds.
const DETECTION: u64 = 30;

/// A call to be placed.
#[derive(Debug, Clone)]
pub struct NewCall {
    /// Who is called.
    pub to: E164,
    /// From which of the account's numbers.
    pub from: E164,
    /// Where its document is asked for once it is answered.
    pub url: String,
    /// Where all that happens to it is told.
    pub status_callback: String,
    /// How long it may ring: 1 to 600 s.
    pub ring: Duration,
    /// How long it may last once it is answered.
    pub time_limit: Duration,
    /// Whether it is found out who, or what, answers; `None`: it is not, and costs nothing.
    pub detection: Option<Detection>,
}

/// How it is found out, in the background, who answers.
#[derive(Debug, Clone)]
pub struct Detection {
    /// A machine is told of when its greeting is over, and not as soon as it is known to be one.
    pub waits_for_end: bool,
    /// Where it is told.
    pub callback: String,
}

/// A call that was placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedCall {
    /// Twilio's name for it.
    pub sid: String,
    /// How it is.
    pub status: CallStatus,
    /// When it was placed, to the second, by Twilio's clock; `None` if it does not say.
    pub created: Option<SystemTime>,
}

impl TwilioRest {
    /// Places a call. Twilio has no key that would make a repeated request one call: it is sent again only if it was certainly not
    /// carried out, and an error [says](RestError::may_have_happened) whether it may have been.
    pub async fn place(&self, call: &NewCall) -> Result<PlacedCall, RestError> {
        let url = format!("{}.json", self.calls_url()?);
        let form = call.form();
        let body = self.once(|| self.http.post(&url).form(&form)).await?;
        let call: Call = serde_json::from_slice(&body).map_err(|_| RestError::Unreadable)?;
        call.placed().ok_or(RestError::Unreadable)
    }

    /// The calls that were placed from one number to another, the newest first and at most 20.
    ///
    /// They are not narrowed by `StartTime`, which a call gets when it is answered: one that is queued has none, and is what is looked
    /// for.
    pub async fn placed(&self, from: &E164, to: &E164) -> Result<Vec<PlacedCall>, RestError> {
        let url = format!("{}.json", self.calls_url()?);
        let size = LISTED.to_string();
        let query = [("To", to.expose()), ("From", from.expose()), ("PageSize", &size)];
        let body = self.persist(|| self.http.get(&url).query(&query)).await?;
        let page: Page = serde_json::from_slice(&body).map_err(|_| RestError::Unreadable)?;
        let ours = |call: &Call| call.direction.as_deref() == Some("outbound-api");
        Ok(page.calls.into_iter().filter(ours).filter_map(Call::placed).collect())
    }
}

impl NewCall {
    fn form(&self) -> Vec<(&'static str, String)> {
        let mut form = vec![
            ("To", self.to.expose().to_owned()),
            ("From", self.from.expose().to_owned()),
            ("Url", self.url.clone()),
            ("StatusCallback", self.status_callback.clone()),
            ("Timeout", self.ring.as_secs().clamp(RING.0, RING.1).to_string()),
            ("TimeLimit", self.time_limit.as_secs().max(1).to_string()),
        ];
        form.extend(EVENTS.map(|event| ("StatusCallbackEvent", event.to_owned())));
        if let Some(detection) = &self.detection {
            let mode = if detection.waits_for_end { "DetectMessageEnd" } else { "Enable" };
            form.extend([
                ("MachineDetection", mode.to_owned()),
                ("AsyncAmd", "true".to_owned()),
                ("AsyncAmdStatusCallback", detection.callback.clone()),
                ("MachineDetectionTimeout", DETECTION.to_string()),
            ]);
        }
        form
    }
}

#[derive(Debug, Deserialize)]
struct Page {
    calls: Vec<Call>,
}

#[derive(Debug, Deserialize)]
struct Call {
    sid: String,
    status: CallStatus,
    #[serde(default)]
    direction: Option<String>,
    #[serde(default)]
    date_created: Option<String>,
}

impl Call {
    /// `None`: it has no name that could be asked for.
    fn placed(self) -> Option<PlacedCall> {
        let created = self.date_created.as_deref().and_then(rfc2822);
        is_sid(&self.sid).then_some(PlacedCall { sid: self.sid, status: self.status, created })
    }
}

/// `Mon, 04 Nov 2024 12:00:00 +0000`, which Twilio writes in UTC.
fn rfc2822(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let rest = text.split_once(", ").map_or(text, |(_, rest)| rest);
    let mut parts = rest.split_ascii_whitespace();
    let day: u64 = parts.next()?.parse().ok()?;
    let month = parts.next()?;
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let year: u64 = parts.next()?.parse().ok()?;
    let mut time = parts.next()?.split(':').map(|part| part.parse::<u64>().ok());
    let (hour, minute, second) = (time.next()??, time.next()??, time.next()??);
    let good = (1970..10_000).contains(&year) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    if !good || !matches!(parts.next(), Some("+0000" | "GMT")) {
        return None;
    }
    // Days from the civil calendar, whose year begins in March so that a leap day is its last.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    let days = days.checked_sub(719_468)?;
    Some(UNIX_EPOCH + Duration::from_secs(days * 86_400 + hour * 3_600 + minute * 60 + second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_read() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 +0000", 0),
            ("Mon, 04 Nov 2024 12:00:00 +0000", 1_730_721_600),
            ("Thu, 29 Feb 2024 23:59:59 +0000", 1_709_251_199),
        ] {
            assert_eq!(rfc2822(text), Some(UNIX_EPOCH + Duration::from_secs(seconds)), "{text}");
        }
        for bad in [
            "",
            "yesterday",
            "Mon, 04 Nov 2024 12:00:00 +0100",
            "Mon, 04 Foo 2024 12:00:00 +0000",
            "04 Nov 99999999999999999999 1:1:1",
        ] {
            assert_eq!(rfc2822(bad), None, "{bad}");
        }
    }
}
