//! What Twilio's detection says of who answered a call that we placed.
//!
//! It has no word for a telephone that asks who calls before it rings: to Twilio that is a human, or a machine if the question is long.
//! Nothing here guesses more than is said.

use crate::telephony::AnsweredBy;

/// What a word of Twilio's means; `None` for one that this version does not know.
pub fn answered_by(word: &str) -> Option<AnsweredBy> {
    Some(match word {
        "human" => AnsweredBy::Human,
        "machine_start" => AnsweredBy::Machine,
        // However its greeting ended: a message can be left now.
        "machine_end_beep" | "machine_end_silence" | "machine_end_other" => AnsweredBy::MachineReady,
        "fax" => AnsweredBy::Fax,
        "unknown" => AnsweredBy::Unknown,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_that_has_said_its_greeting_takes_a_message() {
        for (word, by) in [
            ("human", Some(AnsweredBy::Human)),
            ("machine_start", Some(AnsweredBy::Machine)),
            ("machine_end_beep", Some(AnsweredBy::MachineReady)),
            ("machine_end_silence", Some(AnsweredBy::MachineReady)),
            ("machine_end_other", Some(AnsweredBy::MachineReady)),
            ("fax", Some(AnsweredBy::Fax)),
            ("unknown", Some(AnsweredBy::Unknown)),
            ("parrot", None),
            ("", None),
        ] {
            assert_eq!(answered_by(word), by, "{word}");
        }
    }
}
