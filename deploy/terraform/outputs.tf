output "cluster_name" {
  description = "aws eks update-kubeconfig --name …"
  value       = aws_eks_cluster.this.name
}

output "kafka_bootstrap_server" {
  description = "settings.KAFKA_BOOTSTRAP_SERVER of the chart."
  value       = aws_msk_cluster.this.bootstrap_brokers_sasl_scram
}

output "kafka_secret" {
  description = "Holds the user's name and password for Kafka."
  value       = aws_secretsmanager_secret.kafka.name
}

output "database_address" {
  description = "Host of PostgreSQL."
  value       = aws_db_instance.this.address
}

output "database_secret" {
  description = "Holds the database's password."
  value       = aws_db_instance.this.master_user_secret[0].secret_arn
}

output "secret" {
  description = "What External Secrets reads: secrets.external.remoteKey of the chart."
  value       = aws_secretsmanager_secret.velox.name
}

output "repositories" {
  description = "gateway.image.repository and webhooks.image.repository, and mlWorker.image.repository, of the chart."
  value       = { for name, repository in aws_ecr_repository.this : name => repository.repository_url }
}

output "bucket" {
  description = "BUCKET_URL of the chart is s3://…"
  value       = aws_s3_bucket.objects.bucket
}

output "worker_role_arn" {
  description = "mlWorker.serviceAccount.annotations[\"eks.amazonaws.com/role-arn\"] of the chart."
  value       = aws_iam_role.account["ml-worker"].arn
}

output "external_secrets_role_arn" {
  description = "For the service account of the External Secrets operator."
  value       = aws_iam_role.account["external-secrets"].arn
}

output "deploy_role_arn" {
  description = "AWS_ROLE_ARN of cd.yml; null without github_repository."
  value       = one(aws_iam_role.github[*].arn)
}
