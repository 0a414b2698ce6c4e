variable "name" {
  description = "Prefix of what is made; the cluster is NAME-cluster."
  type        = string
  default     = "ml-pipeline"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,24}[a-z0-9]$", var.name))
    error_message = "name: 3 to 26 small letters, digits and hyphens, beginning with a letter."
  }
}

variable "region" {
  description = "Region of everything."
  type        = string
  default     = "eu-west-1"
}

variable "vpc_cidr" {
  description = "Network of the VPC, a /16: its subnets are /20."
  type        = string
  default     = "10.0.0.0/16"

  validation {
    condition     = can(cidrhost(var.vpc_cidr, 0)) && endswith(var.vpc_cidr, "/16")
    error_message = "vpc_cidr: a network of /16, such as 10.0.0.0/16."
  }
}

variable "single_nat_gateway" {
  description = "One NAT gateway instead of one a zone: cheaper, and nothing reaches the outside when its zone is away."
  type        = bool
  default     = true
}

variable "kubernetes_version" {
  description = "Version of EKS."
  type        = string
  default     = "1.33"
}

variable "api_allowed_cidrs" {
  description = "Networks that may reach the cluster's API from outside; empty = only from within the VPC."
  type        = list(string)
  default     = []
}

variable "node_instance_types" {
  description = "Of the nodes that run everything."
  type        = list(string)
  default     = ["t3.large"]
}

variable "node_count" {
  description = "Nodes at the start, at least and at most. Whoever scales in between is yours: Cluster Autoscaler or Karpenter."
  type        = object({ desired = number, min = number, max = number })
  default     = { desired = 2, min = 2, max = 6 }
}

variable "gpu_instance_types" {
  description = "Of nodes with a GPU, tainted nvidia.com/gpu and labelled velox.io/gpu=true; empty = none."
  type        = list(string)
  default     = []
}

variable "gpu_node_count" {
  description = "Nodes with a GPU, likewise."
  type        = object({ desired = number, min = number, max = number })
  default     = { desired = 1, min = 0, max = 4 }
}

variable "kafka_version" {
  description = "Of MSK; KRaft, so without ZooKeeper."
  type        = string
  default     = "3.9.x.kraft"
}

variable "kafka_instance_type" {
  description = "Of the brokers, one a zone."
  type        = string
  default     = "kafka.m7g.large"
}

variable "kafka_volume_gib" {
  description = "Of each broker; three copies of everything lie on three brokers."
  type        = number
  default     = 100
}

variable "kafka_password" {
  description = "Of the user velox. Read by the first apply, and by one that raises kafka_password_version; kept nowhere: TF_VAR_kafka_password=$(openssl rand -hex 20)."
  type        = string
  default     = null
  ephemeral   = true
  sensitive   = true

  validation {
    condition     = var.kafka_password == null || length(coalesce(var.kafka_password, "-")) >= 16
    error_message = "kafka_password: 16 characters at least."
  }
}

variable "kafka_password_version" {
  description = "Raise it to have a new kafka_password set."
  type        = number
  default     = 1
}

variable "database_instance_class" {
  description = "Of PostgreSQL, which holds requests and results."
  type        = string
  default     = "db.t4g.medium"
}

variable "database_multi_az" {
  description = "A second database in another zone, which takes over within a minute or two."
  type        = bool
  default     = true
}

variable "database_backup_days" {
  description = "Days back to any second of which the database can be restored."
  type        = number
  default     = 14
}

variable "deletion_protection" {
  description = "Neither database nor bucket can be destroyed while this is true."
  type        = bool
  default     = true
}

variable "github_repository" {
  description = "OWNER/NAME whose workflow cd.yml may deploy, from its environment `production`; empty = none."
  type        = string
  default     = ""
}

variable "github_oidc_provider_arn" {
  description = "The account's OpenID Connect provider of GitHub, of which there can be one; empty = make it."
  type        = string
  default     = ""
}
