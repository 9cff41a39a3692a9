//! The caller's script as flags: `--wait-agent --say goforward --pause 2s --hang-up`. Their order is the script.

use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, Error, FromArgMatches, builder::ValueParser, error::ErrorKind};

use super::script::{CallerScript, CallerStep, quiet_ms, timeout_ms};
use crate::cli::units::duration;

/// Steps in the order in which their flags were given.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Steps(pub(super) Vec<CallerStep>);

impl Steps {
    /// A script that ends: a caller who has said everything hangs up.
    pub(super) fn into_script(self) -> CallerScript {
        CallerScript { steps: self.0 }
    }
}

impl Args for Steps {
    fn augment_args(command: Command) -> Command {
        let step = |name: &'static str, parser: ValueParser| {
            Arg::new(name).long(name).value_parser(parser).action(ArgAction::Append).help_heading("Script, in order")
        };
        let optional = |arg: Arg, default: &'static str| {
            arg.num_args(0..=1).require_equals(true).default_missing_value(default).value_name("TIME")
        };
        command
            .arg(
                step("say", ValueParser::string())
                    .value_name("SOUND")
                    .help("Say a WAV file, or a built-in recording such as goforward or jfk, whatever the agent does"),
            )
            .arg(
                step("barge-in", ValueParser::new(barge_in))
                    .value_name("SOUND:after=TIME")
                    .help("Wait until the agent has spoken for so long, then say a sound over it"),
            )
            .arg(optional(step("wait-agent", ValueParser::new(duration)), "900ms").help(
                "Wait until the agent has spoken and has then been quiet for so long (900ms if no time is given)",
            ))
            .arg(step("pause", ValueParser::new(duration)).value_name("TIME").help("Say nothing for so long"))
            .arg(step("dtmf", ValueParser::string()).value_name("KEYS").help("Press keys, one every 100 ms"))
            .arg(
                optional(step("hang-up", ValueParser::new(duration)), "0ms")
                    .hide_possible_values(true)
                    .help("Hang up. This is what happens after the last step anyway"),
            )
            .arg(
                optional(step("wait-end", ValueParser::new(duration)), "20s").help(
                    "Listen until the other side ends the call, and hang up after so long (20s if no time is given)",
                ),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Steps {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut steps = Ordered(Vec::new(), matches);
        steps.collect("say", |sound: String| CallerStep::Say(sound));
        steps.collect("barge-in", |(say, after): (String, Duration)| CallerStep::BargeIn { say, after_ms: ms(after) });
        steps.collect("wait-agent", |quiet| CallerStep::WaitAgent { quiet_ms: ms(quiet) });
        steps.collect("pause", |pause| CallerStep::PauseMs(ms(pause)));
        steps.collect("dtmf", |keys: String| CallerStep::Dtmf(keys));
        steps.collect("hang-up", |_: Duration| CallerStep::HangUp);
        steps.collect("wait-end", |timeout| CallerStep::WaitEnd { timeout_ms: ms(timeout) });
        let Ordered(mut steps, _) = steps;
        steps.sort_by_key(|(place, _)| *place);
        let hangs_up = steps.iter().position(|(_, step)| *step == CallerStep::HangUp);
        if hangs_up.is_some_and(|place| place + 1 < steps.len()) {
            return Err(Error::raw(ErrorKind::ArgumentConflict, "nothing can follow --hang-up\n"));
        }
        Ok(Self(steps.into_iter().map(|(_, step)| step).collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Steps with their places on the command line.
struct Ordered<'a>(Vec<(usize, CallerStep)>, &'a ArgMatches);

impl Ordered<'_> {
    fn collect<T: Clone + Send + Sync + 'static>(&mut self, name: &str, step: impl Fn(T) -> CallerStep) {
        let values = self.1.get_many::<T>(name).into_iter().flatten().cloned();
        let places = self.1.indices_of(name).into_iter().flatten();
        self.0.extend(places.zip(values.map(step)));
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Reads `SOUND:after=TIME`.
fn barge_in(text: &str) -> Result<(String, Duration), String> {
    let (sound, after) = text.rsplit_once(":after=").ok_or("write SOUND:after=TIME, such as cards_005:after=1.2s")?;
    Ok((sound.to_owned(), duration(after)?))
}

/// What a caller without a script does.
pub(super) fn default_steps() -> Vec<CallerStep> {
    vec![
        CallerStep::WaitAgent { quiet_ms: quiet_ms() },
        CallerStep::Say("goforward".into()),
        CallerStep::WaitAgent { quiet_ms: quiet_ms() },
    ]
}

/// Adds the end to a script that has none.
pub(super) fn ending(mut steps: Vec<CallerStep>) -> Vec<CallerStep> {
    if !matches!(steps.last(), Some(CallerStep::HangUp | CallerStep::WaitEnd { .. })) {
        steps.push(CallerStep::HangUp);
    }
    debug_assert!(timeout_ms() > quiet_ms());
    steps
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        steps: Steps,
    }

    fn parse(line: &str) -> Result<Vec<CallerStep>, String> {
        let words = std::iter::once("call").chain(line.split_whitespace());
        Line::try_parse_from(words).map(|line| line.steps.0).map_err(|error| error.to_string())
    }

    #[test]
    fn flags_are_steps_in_their_order() {
        let line =
            "--wait-agent --say a.wav --wait-agent=1.5s --say b --pause 2s --barge-in c:d.wav:after=1.2s --dtmf 1#";
        assert_eq!(
            parse(line).unwrap(),
            [
                CallerStep::WaitAgent { quiet_ms: 900 },
                CallerStep::Say("a.wav".into()),
                CallerStep::WaitAgent { quiet_ms: 1500 },
                CallerStep::Say("b".into()),
                CallerStep::PauseMs(2000),
                CallerStep::BargeIn { say: "c:d.wav".into(), after_ms: 1200 },
                CallerStep::Dtmf("1#".into()),
            ]
        );
        assert_eq!(
            parse("--wait-end --hang-up").unwrap(),
            [CallerStep::WaitEnd { timeout_ms: 20_000 }, CallerStep::HangUp]
        );
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn what_is_wrong_with_a_flag_is_said() {
        for (line, why) in [
            ("--pause 2", "no length of time"),
            ("--barge-in c.wav", "SOUND:after=TIME"),
            ("--barge-in c.wav:after=soon", "no length of time"),
            ("--hang-up --say a.wav", "nothing can follow --hang-up"),
        ] {
            let error = parse(line).unwrap_err();
            assert!(error.contains(why), "{line}: {error}");
        }
    }

    #[test]
    fn a_script_comes_to_an_end() {
        assert_eq!(ending(default_steps()).last(), Some(&CallerStep::HangUp));
        let listening = vec![CallerStep::WaitEnd { timeout_ms: 5 }];
        assert_eq!(ending(listening.clone()), listening);
    }
}
