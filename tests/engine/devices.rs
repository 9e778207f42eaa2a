//! Devices that vendors describe (CDI), with files of our own and devices that harm nobody.

use std::fs;
use std::path::Path;

use crate::harness::Place;

/// A file that goes with the test; the host's /run is the tests' own.
struct File(&'static str);

impl File {
    fn new(path: &'static str, text: &str) -> File {
        fs::create_dir_all(Path::new(path).parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        File(path)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.0);
    }
}

#[test]
fn a_device_brings_what_its_vendor_says() {
    let place = Place::new();
    fs::write(place.join("library"), "of the driver\n").unwrap();
    let said = place.join("said").display().to_string();
    let text = serde_json::json!({
        "cdiVersion": "0.7.0",
        "kind": "harmless.test/sink",
        "annotations": {"made": "for a test"},
        "containerEdits": {
            "env": ["SINK=yes", "OF=vendor"],
            "mounts": [{
                "hostPath": place.join("library"), "containerPath": "/data/library", "options": ["ro", "nosuid", "bind"],
            }],
            "hooks": [{
                "hookName": "createRuntime", "path": "/bin/sh",
                "args": ["sh", "-c", format!("echo $WHAT $(grep -c '\"id\"' -) >{said}")], "env": ["WHAT=hook", "PATH=/bin"],
            }],
            "additionalGids": [4711, 0],
        },
        "devices": [
            {"name": "first", "containerEdits": {"deviceNodes": [
                {"path": "/dev/sink0", "hostPath": "/dev/null", "permissions": "rw", "fileMode": 0o440, "gid": 44},
            ]}},
            {"name": "second", "containerEdits": {
                "deviceNodes": [{"path": "/dev/zeroes", "type": "c", "major": 1, "minor": 5}], "env": ["SECOND=yes"],
            }},
        ],
    });
    let _file = File::new("/var/run/cdi/harmless.json", &text.to_string());
    let script = "cat /data/library; echo x >/data/library; env; stat -c '%t:%T %a %u:%g' /dev/sink0 /dev/zeroes; id -G; \
                  echo x >/dev/sink0 && head -c 2 /dev/zeroes | wc -c";
    let flags = ["--device", "harmless.test/sink=first", "--device", "harmless.test/sink=second", "-u", "33:34"];
    let arguments = [&["run", "--name", "one", "--network", "none"], &flags[..], &["box", "sh", "-c", script]].concat();
    let (status, output, errors) = place.outcome(&arguments);
    // The mode lets its owner only read.
    assert_eq!(status, Some(1), "{errors}");
    for words in [
        "of the driver\n",
        "SINK=yes\n",
        "OF=vendor\n",
        "SECOND=yes\n",
        "1:3 440 33:44\n",
        "1:5 666 33:34\n",
        "34 4711\n",
    ] {
        assert!(output.contains(words), "{words}: {output} {errors}");
    }
    assert!(errors.contains("/data/library: Read-only file system"), "{errors}");
    assert_eq!(fs::read_to_string(&said).unwrap(), "hook 1\n");
    assert_eq!(place.field("one", "(index .HostConfig.DeviceRequests 0).Driver"), "cdi");
    place.ctn(&["rm", "one"]);

    // The next start reads what there is then.
    place.ctn(&[
        "create",
        "--name",
        "later",
        "--network",
        "none",
        "--device",
        "harmless.test/sink=second",
        "box",
        "env",
    ]);
    fs::write("/var/run/cdi/harmless.json", text.to_string().replace("SECOND=yes", "SECOND=changed")).unwrap();
    assert!(place.ctn(&["start", "-a", "later"]).contains("SECOND=changed\n"));
    place.ctn(&["rm", "later"]);
    place.assert_nothing_left();
}

#[test]
fn gpus_are_those_of_a_file() {
    let place = Place::new();
    let script = "echo $NVIDIA_VISIBLE_DEVICES $GPU; ls /dev/nvidia*";
    // What nvidia-ctk writes looks so.
    let text = "---
cdiVersion: 0.5.0
kind: nvidia.com/gpu
containerEdits:
  env:
  - NVIDIA_VISIBLE_DEVICES=void
  deviceNodes:
  - path: /dev/nvidiactl
    hostPath: /dev/null
devices:
- name: \"0\"
  containerEdits:
    env: [GPU=first]
    deviceNodes:
    - path: /dev/nvidia0
      hostPath: /dev/null
- name: \"1\"
  containerEdits:
    deviceNodes:
    - path: /dev/nvidia1
      hostPath: /dev/null
- name: all
  containerEdits:
    env:
    - GPU=all
    deviceNodes:
    - {path: /dev/nvidia0, hostPath: /dev/null}
    - {path: /dev/nvidia1, hostPath: /dev/null}
";
    let refused = |flags: &[&str], words: &str| {
        let refusal = place.refusal(125, &[&["run", "--rm", "--network", "none"], flags, &["box", "true"]].concat());
        // A flag that isn't understood has docker's hint behind the sentence.
        let sentences = refusal.lines().filter(|line| !line.is_empty() && *line != "See 'ctn run --help'.");
        assert!(refusal.contains(words) && sentences.count() == 1, "{flags:?}: {refusal}");
        place.assert_nothing_left();
    };
    refused(&["--gpus", "all"], "could not select device driver \"\" with capabilities: [[gpu]]");
    refused(&["--gpus", "few"], "invalid argument \"few\" for \"--gpus\"");
    let file = File::new("/var/run/cdi/nvidia.yaml", text);
    assert_eq!(place.inside(&["--gpus", "all"], script), "void all\n/dev/nvidia0\n/dev/nvidia1\n/dev/nvidiactl\n");
    assert_eq!(place.inside(&["--gpus", "1"], script), "void first\n/dev/nvidia0\n/dev/nvidiactl\n");
    assert_eq!(place.inside(&["--gpus", "\"device=1,0\""], script).lines().count(), 4);
    assert_eq!(place.inside(&["--device", "nvidia.com/gpu=1"], script), "void\n/dev/nvidia1\n/dev/nvidiactl\n");
    refused(&["--gpus", "3"], "unresolvable CDI device nvidia.com/gpu=2");
    refused(&["--gpus", "device=7"], "unresolvable CDI device nvidia.com/gpu=7");
    refused(&["--device", "nobody.test/thing=x"], "unresolvable CDI device nobody.test/thing=x");
    for (text, device, words) in [
        ("cdiVersion: [", "x", "nvidia.yaml"),
        ("{cdiVersion: '0.5.0', kind: nvidia.com/gpu, devices: [], colour: red}", "0", "colour"),
        ("{cdiVersion: '7.0.0', kind: nvidia.com/gpu, devices: [{name: '0'}]}", "0", "\"7.0.0\" is not known"),
        (
            "{cdiVersion: '0.5.0', kind: nvidia.com/gpu, devices: [{name: '0', containerEdits: {deviceNodes: [{path: \
             /dev/nonsense}]}}]}",
            "0",
            "\"/dev/nonsense\": no such file",
        ),
        (
            "{cdiVersion: '0.5.0', kind: nvidia.com/gpu, devices: [{name: '0', containerEdits: {hooks: [{hookName: never, \
             path: /bin/true}]}}]}",
            "0",
            "\"never\"",
        ),
        (
            "{cdiVersion: '0.5.0', kind: nvidia.com/gpu, devices: [{name: '0', containerEdits: {mounts: [{hostPath: \
             /nonsense, containerPath: /x}]}}]}",
            "0",
            "/nonsense",
        ),
    ] {
        fs::write(file.0, text).unwrap();
        refused(&["--device", &format!("nvidia.com/gpu={device}")], words);
    }
}
