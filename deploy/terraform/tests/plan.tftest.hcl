# terraform test: what would be made, asked of a provider that is played.
mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = { names = ["eu-west-1a", "eu-west-1b", "eu-west-1c"] }
  }

  mock_data "aws_iam_policy_document" {
    defaults = { json = "{\"Version\": \"2012-10-17\", \"Statement\": []}" }
  }

  mock_data "aws_caller_identity" {
    defaults = { account_id = "000000000000" }
  }
}

run "defaults" {
  command = plan

  assert {
    condition     = aws_eks_cluster.this.name == "ml-pipeline-cluster"
    error_message = "the cluster has the name that is known"
  }

  assert {
    condition     = toset(keys(aws_ecr_repository.this)) == toset(["ml-pipeline-gateway", "ml-pipeline-worker"])
    error_message = "there are two repositories"
  }

  assert {
    condition     = length(aws_subnet.private) == 3 && length(aws_subnet.public) == 3
    error_message = "there are private and public subnets in three zones"
  }

  assert {
    condition     = length(setunion([for each in aws_subnet.private : each.cidr_block], [for each in aws_subnet.public : each.cidr_block])) == 6
    error_message = "no two subnets have the same network"
  }

  assert {
    condition     = aws_eks_node_group.this["general"].scaling_config[0].desired_size == 2 && one(aws_eks_node_group.this["general"].instance_types) == "t3.large"
    error_message = "there are two nodes of t3.large"
  }

  assert {
    condition     = keys(aws_eks_node_group.this) == ["general"]
    error_message = "nodes with a GPU are made on request only"
  }

  assert {
    condition     = aws_eks_cluster.this.vpc_config[0].endpoint_public_access == false
    error_message = "the cluster's API is open to those networks alone that are named"
  }

  assert {
    condition     = aws_msk_cluster.this.number_of_broker_nodes == 3 && aws_msk_cluster.this.encryption_info[0].encryption_in_transit[0].client_broker == "TLS"
    error_message = "three brokers speak TLS only"
  }

  assert {
    condition     = aws_db_instance.this.storage_encrypted && aws_db_instance.this.multi_az && !aws_db_instance.this.publicly_accessible
    error_message = "the database is encrypted, doubled and private"
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 1 && length(aws_iam_role.github) == 0
    error_message = "there is one NAT gateway, and nobody deploys from GitHub unless asked for"
  }
}

run "all_options" {
  command = plan

  variables {
    single_nat_gateway = false
    gpu_instance_types = ["g6.xlarge"]
    api_allowed_cidrs  = ["192.0.2.0/24"]
    github_repository  = "example/velox"
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 3
    error_message = "there is a NAT gateway in each zone"
  }

  assert {
    condition     = one(aws_eks_node_group.this["gpu"].taint).key == "nvidia.com/gpu" && aws_eks_node_group.this["gpu"].labels["velox.io/gpu"] == "true"
    error_message = "nodes with a GPU take only what asks for one"
  }

  assert {
    condition     = aws_eks_access_policy_association.deploy[0].access_scope[0].type == "namespace"
    error_message = "the role that deploys has rights in one namespace"
  }
}

run "a_network_that_is_too_small" {
  command = plan

  variables {
    vpc_cidr = "10.0.0.0/24"
  }

  expect_failures = [var.vpc_cidr]
}
