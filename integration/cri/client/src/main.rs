//! Calls a container engine as a kubelet does, by the Container Runtime Interface (CRI) v1.
//!
//! ```text
//! cri SOCKET METHOD < REQUEST
//! ```
//!
//! The request is JSON with protobuf's names of the fields; what it leaves out has its zero value. The answer is printed as JSON.

use std::io::stdin;

use anyhow::{Context, Result, bail};
use hyper_util::rt::TokioIo;
use k8s_cri::v1::runtime_service_client::RuntimeServiceClient;
use k8s_cri::v1::{
    ContainerConfig, ContainerMetadata, ContainerStatsRequest, ContainerStatusRequest, CreateContainerRequest,
    ExecSyncRequest, ImageSpec, LinuxContainerConfig, LinuxContainerResources, LinuxContainerSecurityContext,
    LinuxPodSandboxConfig, LinuxSandboxSecurityContext, ListContainersRequest, ListPodSandboxRequest, NamespaceOption,
    PodSandboxConfig, PodSandboxMetadata, RemoveContainerRequest, RemovePodSandboxRequest, RunPodSandboxRequest,
    SecurityProfile, StartContainerRequest, StopContainerRequest, StopPodSandboxRequest,
    UpdateContainerResourcesRequest, VersionRequest,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::net::UnixStream;
use tonic::transport::{Channel, Endpoint, Uri};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [socket, method] = &arguments[..] else { bail!("usage: cri SOCKET METHOD < REQUEST") };
    let request = serde_json::from_reader(stdin().lock()).context("read the request")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("start tokio")?;
    println!("{}", runtime.block_on(call(socket.clone(), method, request))?);
    Ok(())
}

/// Fills the request, sends it, and gives what is answered.
macro_rules! send {
    ($client:expr, $method:ident, $request:expr, $empty:expr) => {{
        let answer = $client.$method(filled($empty, $request)?).await;
        serde_json::to_value(answer.map_err(|status| anyhow::anyhow!("{}", status.message()))?.into_inner())?
    }};
}

async fn call(socket: String, method: &str, request: Value) -> Result<Value> {
    let client = &mut RuntimeServiceClient::new(connect(socket).await?);
    Ok(match method {
        "Version" => send!(client, version, request, VersionRequest::default()),
        "RunPodSandbox" => {
            let empty = RunPodSandboxRequest { config: Some(pod()), ..RunPodSandboxRequest::default() };
            send!(client, run_pod_sandbox, request, empty)
        }
        "StopPodSandbox" => send!(client, stop_pod_sandbox, request, StopPodSandboxRequest::default()),
        "RemovePodSandbox" => send!(client, remove_pod_sandbox, request, RemovePodSandboxRequest::default()),
        "ListPodSandbox" => send!(client, list_pod_sandbox, request, ListPodSandboxRequest::default()),
        "CreateContainer" => {
            let (config, sandbox_config) = (Some(container()), Some(pod()));
            let empty = CreateContainerRequest { config, sandbox_config, ..CreateContainerRequest::default() };
            send!(client, create_container, request, empty)
        }
        "StartContainer" => send!(client, start_container, request, StartContainerRequest::default()),
        "StopContainer" => send!(client, stop_container, request, StopContainerRequest::default()),
        "RemoveContainer" => send!(client, remove_container, request, RemoveContainerRequest::default()),
        "ListContainers" => send!(client, list_containers, request, ListContainersRequest::default()),
        "ContainerStatus" => send!(client, container_status, request, ContainerStatusRequest::default()),
        "ContainerStats" => send!(client, container_stats, request, ContainerStatsRequest::default()),
        "UpdateContainerResources" => {
            let linux = Some(LinuxContainerResources::default());
            let empty = UpdateContainerResourcesRequest { linux, ..UpdateContainerResourcesRequest::default() };
            send!(client, update_container_resources, request, empty)
        }
        "ExecSync" => send!(client, exec_sync, request, ExecSyncRequest::default()),
        other => bail!("the method {other} is not known here"),
    })
}

async fn connect(socket: String) -> Result<Channel> {
    let connector = tower::service_fn(move |_: Uri| {
        let socket = socket.clone();
        async move { Ok::<_, std::io::Error>(TokioIo::new(UnixStream::connect(socket).await?)) }
    });
    // The connector knows where; an address is a formality of HTTP.
    Endpoint::from_static("http://localhost").connect_with_connector(connector).await.context("connect to the engine")
}

/// A pod's description with all its parts, each empty.
fn pod() -> PodSandboxConfig {
    let security_context = LinuxSandboxSecurityContext {
        namespace_options: Some(NamespaceOption::default()),
        seccomp: Some(SecurityProfile::default()),
        ..LinuxSandboxSecurityContext::default()
    };
    PodSandboxConfig {
        metadata: Some(PodSandboxMetadata::default()),
        linux: Some(LinuxPodSandboxConfig {
            security_context: Some(security_context),
            ..LinuxPodSandboxConfig::default()
        }),
        ..PodSandboxConfig::default()
    }
}

/// A container's description with all its parts, each empty.
fn container() -> ContainerConfig {
    let security_context = LinuxContainerSecurityContext {
        namespace_options: Some(NamespaceOption::default()),
        seccomp: Some(SecurityProfile::default()),
        ..LinuxContainerSecurityContext::default()
    };
    ContainerConfig {
        metadata: Some(ContainerMetadata::default()),
        image: Some(ImageSpec::default()),
        linux: Some(LinuxContainerConfig {
            resources: Some(LinuxContainerResources::default()),
            security_context: Some(security_context),
        }),
        ..ContainerConfig::default()
    }
}

/// The request with what is given in place of what is empty. The bindings read no message with a field left out.
fn filled<T: Serialize + DeserializeOwned>(empty: T, given: Value) -> Result<T> {
    let mut whole = serde_json::to_value(empty)?;
    fill(&mut whole, given);
    serde_json::from_value(whole).context("read the request")
}

fn fill(whole: &mut Value, given: Value) {
    match (whole, given) {
        (Value::Object(whole), Value::Object(given)) => {
            given.into_iter().for_each(|(key, value)| fill(whole.entry(key).or_insert(Value::Null), value));
        }
        (whole, given) => *whole = given,
    }
}
