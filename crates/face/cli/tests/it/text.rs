//! What the verbs print.

use super::*;

const VERBS: [&str; 12] = [
    "run",
    "chat",
    "plan",
    "inspect",
    "tokenize",
    "template",
    "quantize",
    "embed",
    "eval",
    "bench",
    "completions",
    "man",
];

#[test]
fn every_verb_has_help_with_examples() {
    let all = good(&["--help"]);
    assert!(all.contains("Exit codes:") && all.contains("Examples:"), "{all}");
    for verb in VERBS {
        assert!(all.contains(&format!("\n  {verb} ")), "{verb} is not in the help");
        let help = good(&[verb, "--help"]);
        assert!(verb == "eval" || help.contains("Examples:"), "{verb}: {help}");
    }
    for verb in ["ppl", "logits", "kl", "sts"] {
        assert!(good(&["eval", verb, "--help"]).contains("Examples:"), "{verb}");
    }
}

#[test]
fn completions_and_manual_pages_know_every_verb() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = good(&["completions", shell]);
        assert!(VERBS.iter().all(|verb| script.contains(verb)), "{shell}");
    }
    let folder = scratch("man");
    good(&["man", words(&folder)]);
    for verb in VERBS {
        assert!(folder.join(format!("ledge-{verb}.1")).is_file(), "{verb}");
    }
}

#[test]
fn the_first_command_writes_text() {
    let arguments = ["run", "The sea was", "-n", "8", "--seed", "1"];
    let output = ledge(&arguments);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.len() > 8 && text.ends_with('\n') && !text.contains("The sea"), "{text:?}");
    let closing = stderr(&output);
    assert_eq!(closing.lines().count(), 1, "{closing}");
    for part in ["first token", "prompt", "tok/s", "promised", "seed 1", "length"] {
        assert!(closing.contains(part), "{closing}");
    }
    let again = ledge(&[&arguments[..], &["--threads", "1", "--chunk", "1", "-q"]].concat());
    assert_eq!((stdout(&again), stderr(&again)), (text, String::new()));
}

#[test]
fn two_programs_at_a_time_and_too_many_threads_change_nothing() {
    let arguments = ["run", "The sea was", "-n", "24", "--seed", "1", "-q"];
    let alone = good(&arguments);
    // Together they have more threads than there are processors, each of which waits for others.
    let started = [(); 2].map(|()| command(&arguments).spawn().expect("the program starts"));
    for child in started {
        let output = child.wait_with_output().expect("the program ends");
        assert_eq!(stdout(&output), alone, "{}", stderr(&output));
    }
    for threads in ["3", "64"] {
        assert_eq!(good(&[&arguments[..], &["--threads", threads]].concat()), alone, "{threads}");
    }
}

#[test]
fn json_streams_tokens_and_ends_with_the_report() {
    let arguments = ["run", "The sea was", "-n", "3", "--temp", "0", "--json", "--logprobs", "2"];
    let text = good(&arguments);
    let lines: Vec<serde_json::Value> = text.lines().map(json).collect();
    let (report, tokens) = lines.split_last().expect("lines");
    assert_eq!(tokens.len(), 3);
    for token in tokens {
        assert_eq!(token["top"][0]["token"], token["token"]);
        assert_eq!(token["top"].as_array().map(Vec::len), Some(2));
        assert!(token["logprob"].as_f64().is_some_and(|logprob| logprob <= 0.0));
    }
    let report = &report["report"];
    assert_eq!((&report["tokens"]["produced"], &report["ending"]), (&3.into(), &"length".into()));
    assert!(report["plan"]["promised"].as_u64() > Some(0));
    assert!(report["notices"].is_array());
}

#[test]
fn a_chat_tells_the_most_probable_tokens_too() {
    let template = scratch("logprobs").join("plain.jinja");
    std::fs::write(&template, "{% for m in messages %}{{ m.content }} {% endfor %}")
        .expect("written");
    let chat = ["run", "--chat", "The sea was", "--template", words(&template)];
    let options = ["-n", "3", "--temp", "0", "--json", "--logprobs", "4"];
    for line in good(&[&chat[..], &options].concat()).lines().take(3) {
        let token = json(line);
        assert_eq!(token["top"].as_array().map(Vec::len), Some(4));
        assert_eq!(token["top"][0]["token"], token["token"]);
        assert_eq!(token["top"][0]["logprob"], token["logprob"]);
    }
}

#[test]
fn dry_penalises_repetitions_up_to_its_breakers() {
    let prompt = "one two three four one two three four one two three";
    let run = ["run", prompt, "-n", "1", "--temp", "0", "-q"];
    let dry = |breakers: &[&str]| good(&[&run[..], &["--dry", "100"], breakers].concat());
    // Where every token of the prompt ends a repetition, there is none.
    let every = ["e", "o", "t", "w", "h", "r", "f", "u", "n", " "];
    let every: Vec<&str> = every.iter().flat_map(|text| ["--dry-breaker", text]).collect();
    assert_eq!(dry(&every), good(&run));
    let none = dry(&["--dry-breaker", "no token holds this"]);
    assert!(!none.contains("four"), "{none}");
}

#[test]
fn nothing_is_generated_when_nothing_is_asked_for() {
    assert_eq!(good(&["run", "The sea", "-n", "0"]), "\n");
    let empty = good(&["run", "", "-n", "4", "--json", "--ignore-eos"]);
    assert_eq!(json(empty.lines().last().expect("a report"))["report"]["tokens"]["produced"], 4);
}

#[test]
fn a_prompt_can_come_from_stdin_and_a_model_from_a_file() {
    let options = ["-n", "4", "--temp", "0", "-q"];
    let piped = ledge_reading(&[&["run", "-"], &options[..]].concat(), b"The sea was");
    let given = good(&[&["run", "The sea was"], &options[..]].concat());
    assert_eq!(stdout(&piped), given);
    let house = house();
    assert_eq!(good(&[&["run", words(&house), "The sea was"], &options[..]].concat()), given);
}

#[test]
fn stop_strings_end_the_text_before_they_appear() {
    let arguments = ["run", "The sea was", "-n", "12", "--temp", "0", "-q"];
    let whole = good(&arguments);
    let word = whole.trim_end().rsplit(' ').next().expect("a last word");
    let stopped = good(&[&arguments[..], &["--stop", word]].concat());
    assert!(whole.starts_with(stopped.trim_end()) && stopped.len() < whole.len(), "{stopped}");
}

#[test]
fn text_becomes_ids_and_text_again() {
    let ids = good(&["tokenize", "The sea, über 7", "--ids"]);
    let ids: Vec<&str> = ids.split_whitespace().collect();
    let house = house();
    let decode = [&["tokenize", "--decode", words(&house)], &ids[..]].concat();
    assert_eq!(good(&decode), "The sea, über 7\n");
    let object = json(&good(&["tokenize", "The sea", "--json"]));
    assert_eq!(object["ids"].as_array().map(Vec::len), object["pieces"].as_array().map(Vec::len));
}

#[test]
fn a_template_file_renders_a_conversation() {
    let folder = scratch("template");
    let (template, messages) = (folder.join("chatml.jinja"), folder.join("chat.json"));
    let source = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n\
                  {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    std::fs::write(&template, source).expect("written");
    std::fs::write(&messages, r#"[{"role": "user", "content": "Hi <|im_end|>"}]"#).expect("ok");
    let arguments = ["template", words(&template), "--messages", words(&messages)];
    let prompt = good(&arguments);
    assert_eq!(prompt, "<|im_start|>user\nHi <|im_end|><|im_end|>\n<|im_start|>assistant\n");
    let object = json(&good(&[&arguments[..], &["--json"]].concat()));
    assert_eq!(object["parts"][1]["text"], "Hi <|im_end|>");
    assert_eq!(object["parts"][1]["by"], "caller");
    let answered = ["run", "--chat", "Hello", "--template", words(&template), "-n", "4", "-q"];
    assert!(!good(&answered).is_empty());
}

#[test]
fn a_chat_takes_a_turn_for_each_line() {
    let template = scratch("chat").join("plain.jinja");
    let source = "{% for m in messages %}{{ m.content }}\n{% endfor %}";
    std::fs::write(&template, source).expect("written");
    let arguments = ["chat", "--template", words(&template), "-n", "3", "--json"];
    let output = ledge_reading(&arguments, b"Once upon a time\n\n/reset\nAnd then\n/quit\nnever\n");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let reports = stdout(&output).lines().filter(|line| line.contains("\"report\"")).count();
    assert_eq!(reports, 2);
}

#[test]
fn plans_tell_scripts_and_people_the_same() {
    let arguments = ["plan", "--ctx", "512", "--memory", "1GiB"];
    let object = json(&good(&[&arguments[..], &["--json"]].concat()));
    assert_eq!((&object["fits"], &object["ctx"]), (&true.into(), &512.into()));
    let buffers = object["buffers"].as_array().expect("buffers").iter();
    let sum: u64 = buffers.map(|buffer| buffer["bytes"].as_u64().expect("bytes")).sum();
    assert_eq!(object["promised"]["total"], sum);
    let table = good(&arguments);
    assert!(table.contains("kv") && table.contains("fits into 1.00 GiB"), "{table}");
}

#[test]
fn inspecting_shows_sizes_tensors_and_graph() {
    let object = json(&good(&["inspect", "--json", "--tensors"]));
    assert_eq!(object["architecture"], "llama");
    let tensors = object["tensors"].as_array().expect("tensors");
    assert!(tensors.iter().any(|tensor| tensor["name"] == "token_embd.weight"), "{tensors:?}");
    assert!(good(&["inspect"]).lines().any(|line| line.starts_with("layers ")));
    assert!(good(&["inspect", "--graph"]).lines().count() > 10);
}

#[test]
fn a_model_agrees_with_itself() {
    let folder = scratch("eval");
    let (file, ids, out) = (folder.join("text.txt"), folder.join("ids"), folder.join("out.npy"));
    std::fs::write(&file, "There was a king who had three sons. ".repeat(12)).expect("written");
    std::fs::write(&ids, "[1, 2, 3, 4, 5]").expect("written");
    let house = house();
    let house = words(&house);
    let options = ["--file", words(&file), "--ctx", "32", "--json"];
    let ppl = json(&good(&[&["eval", "ppl", house], &options[..]].concat()));
    assert!(ppl["ppl"].as_f64().is_some_and(|ppl| ppl > 1.0), "{ppl}");
    let kl = json(&good(&[&["eval", "kl", house, house], &options[..]].concat()));
    assert_eq!((kl["kl_max"].as_f64(), kl["top1"].as_f64()), (Some(0.0), Some(1.0)));
    let arguments = ["eval", "logits", house, "--ids", words(&ids), "--kv", "f32"];
    good(&[&arguments[..], &["--out", words(&out)]].concat());
    let array = std::fs::read(&out).expect("the array");
    assert!(array.starts_with(b"\x93NUMPY") && array.len() > 5 * 4096 * 4);
    assert!(String::from_utf8_lossy(&array).contains("'shape': (5, "));
}

#[test]
fn benches_print_their_rates() {
    let object = json(&good(&["bench", "--prompt", "8", "-n", "4", "--repeat", "1", "--json"]));
    for key in ["p50_ms", "p90_ms", "p99_ms", "prefill_tps", "decode_tps", "peak_bytes"] {
        assert!(object[key].as_f64().is_some_and(|number| number > 0.0), "{key}: {object}");
    }
    let depths = ["bench", "--prompt", "0", "-n", "2", "--depth", "0,9", "--repeat", "1", "--json"];
    let object = json(&good(&depths));
    assert!(object["prefill_tps"].is_null(), "no prompt was measured: {object}");
    let decodes = object["depths"].as_array().expect("one for each depth");
    assert_eq!(decodes.iter().map(|d| d["depth"].as_u64()).collect::<Vec<_>>(), [Some(0), Some(9)]);
    assert!(decodes.iter().all(|d| d["read_gbps"].as_f64() > Some(0.0)), "{object}");
    let kernels = ["bench", "--prompt", "8", "-n", "2", "--repeat", "1", "--kernels", "--json"];
    let object = json(&good(&kernels));
    let runs = object["kernels"].as_array().expect("a prompt and tokens");
    for run in runs {
        let kernels = run["kernels"].as_array().expect("a list");
        assert!(kernels.iter().any(|kernel| kernel["name"] == "attention"), "{run}");
        let shares: f64 = kernels.iter().filter_map(|kernel| kernel["share"].as_f64()).sum();
        assert!((0.98..1.02).contains(&shares), "{run}");
    }
    let nothing = ledge(&["bench", "--prompt", "0", "-n", "0"]);
    assert_eq!(nothing.status.code(), Some(2), "{}", stderr(&nothing));
}

#[test]
fn a_trace_names_kernels_times_bytes_and_threads() {
    let path = scratch("trace").join("out.json");
    good(&["run", "The sea was", "-n", "3", "--threads", "2", "--trace", words(&path), "-q"]);
    let trace = json(&std::fs::read_to_string(&path).expect("the trace"));
    let events = trace["traceEvents"].as_array().expect("a list of events");
    let steps: Vec<_> = events.iter().filter(|event| event["args"]["bytes"].is_u64()).collect();
    assert!(steps.iter().any(|step| step["name"].as_str().is_some_and(|n| n.contains("linear"))));
    assert!(steps.iter().all(|step| step["dur"].is_f64() && step["ts"].is_f64()), "times");
    // Threads have rows of their own unless somebody else wants the processors just then.
    assert!(events.iter().any(|event| event["args"]["name"] == "steps"), "no row of steps");
}

#[test]
fn a_model_is_written_in_other_types_and_runs() {
    let folder = scratch("quantize");
    let (house, out) = (house(), folder.join("small.gguf"));
    let arguments = ["quantize", words(&house), words(&out), "q4_k_m", "--json"];
    let object = json(&good(&arguments));
    assert!(object["bytes"].as_u64() < object["source_bytes"].as_u64(), "{object}");
    let shown = good(&["inspect", words(&out)]);
    assert!(shown.contains("Q4_K"), "{shown}");
    assert!(!good(&["run", words(&out), "The sea was", "-n", "2", "-q"]).is_empty());
    let vector = json(&good(&["embed", words(&out), "The sea"]));
    assert!(vector["embedding"].as_array().is_some_and(|vector| vector.len() >= 256));
}
