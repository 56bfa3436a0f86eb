"""Which server an API key belongs to: secrets with a known owner, and the hosts of that owner."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from hf_synthlabels.clients.protocol.base_url import ip_address, is_loopback

HUB = ("huggingface.co", "*.huggingface.co", "hf.co", "*.hf.co")
AZURE = ("*.openai.azure.com", "*.services.ai.azure.com", "*.cognitiveservices.azure.com")
GOOGLE = ("generativelanguage.googleapis.com", "aiplatform.googleapis.com", "*-aiplatform.googleapis.com")
TOGETHER = ("api.together.xyz", "api.together.ai")

OWNERS: dict[str, tuple[str, ...]] = {
    "OPENAI_API_KEY": ("api.openai.com", "*.api.openai.com"),
    "AZURE_OPENAI_API_KEY": AZURE,
    "AZURE_OPENAI_KEY": AZURE,
    "AZURE_API_KEY": AZURE,
    "ANTHROPIC_API_KEY": ("api.anthropic.com",),
    "GEMINI_API_KEY": GOOGLE,
    "GOOGLE_API_KEY": GOOGLE,
    "MISTRAL_API_KEY": ("api.mistral.ai", "codestral.mistral.ai"),
    "OPENROUTER_API_KEY": ("openrouter.ai",),
    "GROQ_API_KEY": ("api.groq.com",),
    "TOGETHER_API_KEY": TOGETHER,
    "TOGETHERAI_API_KEY": TOGETHER,
    "DEEPSEEK_API_KEY": ("api.deepseek.com",),
    "FIREWORKS_API_KEY": ("api.fireworks.ai",),
    "CEREBRAS_API_KEY": ("api.cerebras.ai",),
    "SAMBANOVA_API_KEY": ("api.sambanova.ai",),
    "NVIDIA_API_KEY": ("integrate.api.nvidia.com",),
    "COHERE_API_KEY": ("api.cohere.com", "api.cohere.ai"),
    "CO_API_KEY": ("api.cohere.com", "api.cohere.ai"),
    "PERPLEXITY_API_KEY": ("api.perplexity.ai",),
    "XAI_API_KEY": ("api.x.ai",),
    "DEEPINFRA_API_KEY": ("api.deepinfra.com",),
    "DEEPINFRA_TOKEN": ("api.deepinfra.com",),
    "MOONSHOT_API_KEY": ("api.moonshot.ai", "api.moonshot.cn"),
    "DASHSCOPE_API_KEY": ("dashscope.aliyuncs.com", "dashscope-intl.aliyuncs.com"),
    "ZAI_API_KEY": ("api.z.ai", "open.bigmodel.cn"),
    "ZHIPUAI_API_KEY": ("open.bigmodel.cn", "api.z.ai"),
    "HYPERBOLIC_API_KEY": ("api.hyperbolic.xyz",),
    "NEBIUS_API_KEY": ("api.studio.nebius.ai", "api.studio.nebius.com", "api.tokenfactory.nebius.com"),
    "SCW_SECRET_KEY": ("api.scaleway.ai",),
    "HF_TOKEN": HUB,
    "HF_API_KEY": HUB,
    "HUGGING_FACE_HUB_TOKEN": HUB,
    "HUGGINGFACE_API_KEY": HUB,
    "HUGGINGFACEHUB_API_TOKEN": HUB,
    "GITHUB_TOKEN": ("models.github.ai", "models.inference.ai.azure.com"),
    "GH_TOKEN": ("models.github.ai", "models.inference.ai.azure.com"),
}
"""Variables that hold the key of a provider, and the hosts that key is made for. `*.` matches any subdomain."""

FIRST_WORDS = {name.split("_")[0]: hosts for name, hosts in OWNERS.items() if not name.startswith(("CO_", "SCW_"))}

SERVICES = re.compile(
    r"(?i)^(?:HF|HUGGING_?FACE\w*?|OPENAI|ANTHROPIC|CLAUDE|AWS|AZURE|GCP|GCLOUD|GOOGLE|CLOUDSDK|GITHUB|GH|GITLAB|CI|NPM"
    r"|NODE_AUTH|PYPI|TWINE|UV|PIP|WANDB|COMET|NEPTUNE|MLFLOW|CLEARML|DOCKER|SLACK|STRIPE|DISCORD|TWILIO|SENDGRID"
    r"|DATADOG|DD|SENTRY|CLOUDFLARE|CF|DIGITALOCEAN|HEROKU|VERCEL|NETLIFY|DATABASE|DB|PG|POSTGRES\w*?|MYSQL|REDIS"
    r"|MONGO\w*?|SNOWFLAKE|DATABRICKS|KAGGLE|SSH|GPG|KUBE\w*?|VAULT|ANSIBLE|TF|JUPYTER\w*?|SMTP|LDAP|OPENSSL)"
    r"(?:_|PASS|URL$|$)"
)
"""Variables by which other programs know their secrets."""

SECRETS = re.compile(r"(?i)SECRET|PASSW|PASSPHRASE|PRIVATE|CREDENTIAL|_PAT$|COOKIE|SESSION")


def url_host(url: str) -> str:
    """The host that a URL leads to, in lower case; the whole URL where different programs could read it differently."""
    try:
        parts = urlsplit(url.strip())
        host = (parts.hostname or "").rstrip(".")
    except ValueError:
        return url
    if not re.fullmatch(r"[A-Za-z0-9.\-:\[\]%_]+", parts.netloc):
        return url
    return host


def may_receive(variable: str, url: str) -> bool:
    """Whether a variable may be sent to a server without asking the user: its key is made for that server.

    A variable with an unknown name may go to any server; it exists for one that this table does not know.
    """
    host = url_host(url)
    hosts = _hosts(variable)
    if hosts is None:
        return not is_secret(variable)
    if is_loopback(host) or is_private(host):
        return True
    return url.strip().lower().startswith("https://") and _matches(host, hosts)


def is_secret(variable: str) -> bool:
    """Whether a variable is known to hold the secret of a service or a program."""
    return bool(_hosts(variable) or SERVICES.match(variable) or SECRETS.search(variable))


def is_known_host(host: str) -> bool:
    """Whether a host belongs to a provider of the table."""
    return any(_matches(host, hosts) for hosts in OWNERS.values())


def is_private(host: str) -> bool:
    """Whether a host is in a network that strangers cannot reach: a private address, or a name without a domain."""
    address = ip_address(host)
    if address is not None:
        return address.is_private and not address.is_link_local
    # Digits alone, or with 0x, are an address in disguise.
    return bool(re.fullmatch(r"[a-z][a-z0-9_-]*", host)) or host.endswith((".local", ".lan", ".docker.internal"))


def _hosts(variable: str) -> tuple[str, ...] | None:
    """The hosts that a variable is made for: those of its name, or of its first word, as in OPENAI_KEY_OF_MY_TEAM."""
    name = variable.upper()
    return OWNERS.get(name) or FIRST_WORDS.get(name.split("_")[0])


def _matches(host: str, patterns: tuple[str, ...]) -> bool:
    return any(
        host.endswith(pattern[1:]) and len(host) >= len(pattern) if pattern.startswith("*") else host == pattern
        for pattern in patterns
    )
