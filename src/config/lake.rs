//! Where the lake is and how to log in to its store.

use clap::Args;

use super::Secret;

/// The lake's place, for every command that reads or writes it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Lake")]
pub struct LakeSettings {
    /// The lake: a folder, file://…, s3://bucket/prefix or s3a://bucket/prefix
    #[arg(
        long = "data-lake-path",
        env = "DATA_LAKE_PATH",
        default_value = "./data/lake",
        value_name = "PATH"
    )]
    pub path: String,

    /// The region of the bucket
    #[arg(long, env = "AWS_REGION", default_value = "us-east-1", value_name = "REGION")]
    pub aws_region: String,

    /// The access key; without it the role of the machine is used (IMDS, web identity, ECS)
    #[arg(long, env = "AWS_ACCESS_KEY_ID", value_name = "KEY")]
    pub aws_access_key_id: Option<String>,

    /// The secret key; prefer the variable or the file, since a process list shows flags
    #[arg(long, env = "AWS_SECRET_ACCESS_KEY", hide_env_values = true, value_name = "SECRET")]
    pub aws_secret_access_key: Option<Secret>,

    /// The token that belongs to temporary keys
    #[arg(long, env = "AWS_SESSION_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub aws_session_token: Option<Secret>,

    /// The address of an S3 server other than Amazon's, such as http://localhost:9000
    #[arg(long, env = "AWS_ENDPOINT_URL", value_name = "URL")]
    pub aws_endpoint_url: Option<String>,
}

impl LakeSettings {
    /// A lake of this path that needs no login.
    pub fn of_path(path: impl Into<String>) -> LakeSettings {
        LakeSettings {
            path: path.into(),
            aws_region: String::new(),
            aws_access_key_id: None,
            aws_secret_access_key: None,
            aws_session_token: None,
            aws_endpoint_url: None,
        }
    }
}
