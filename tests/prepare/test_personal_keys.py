import random
import string

import pytest
from faion_finetuner.core.personal.patterns import find

RNG = random.Random(7)
LETTERS = string.ascii_letters + string.digits
HEX = "0123456789abcdef"


def signs(count: int, alphabet: str = LETTERS) -> str:
    """Signs as random as those of a key, with a digit among them."""
    return "".join(RNG.choices(alphabet, k=count - 1)) + "7"


CAPITALS = string.ascii_uppercase + "234567"
TOKENS = {  # put together here, so that no scanner takes this file for a leak
    "OpenAI": "sk-" + "proj-" + signs(60),
    "Anthropic": "sk-" + "ant-api03-" + signs(93) + "AA",
    "Amazon": "AKIA" + signs(16, CAPITALS),
    "Google": "AI" + "za" + signs(35),
    "GitHub": "gh" + "p_" + signs(36),
    "GitHub, fine-grained": "github" + "_pat_" + signs(82),
    "GitLab": "gl" + "pat-" + signs(20),
    "Slack bot": "xo" + "xb-781236542736-2364535789652-" + signs(24),
    "Slack webhook": "https://hooks.slack.com/services/T0" + signs(9) + "/B0" + signs(9) + "/" + signs(24),
    "Stripe": "sk" + "_live_" + signs(24),
    "Hugging Face": "h" + "f_" + signs(34),
    "npm": "np" + "m_" + signs(36),
    "PyPI": "py" + "pi-AgEIcHlwaS5vcmc" + signs(60),
    "SendGrid": "S" + "G." + signs(22) + "." + signs(43),
    "Twilio": "S" + "K" + signs(32, HEX),
    "DigitalOcean": "do" + "p_v1_" + signs(64, HEX),
    "Shopify": "shp" + "at_" + signs(32, HEX),
    "Databricks": "da" + "pi" + signs(32, HEX),
    "Telegram": "110201543:A" + signs(34),
    "JSON Web Token": "ey" + "J" + signs(30) + ".ey" + "J" + signs(60) + "." + signs(43),
    "Azure": signs(3) + "8Q~" + signs(34),
    "Grafana": "gl" + "sa_" + signs(32) + "_" + signs(8, HEX),
    "Vault": "hv" + "s." + signs(95),
    "Linear": "lin" + "_api_" + signs(40),
    "Discord": "M" + signs(23) + "." + signs(6) + "." + signs(27),
    "Mailchimp": signs(32, HEX) + "-us18",
}


@pytest.mark.parametrize("provider", TOKENS)
def test_a_providers_token_is_found_wherever_it_stands(provider):
    token = TOKENS[provider]
    for whole in (token, f"use {token}, please.", f'{{"x": "{token}"}}', f"curl -H 'X: {token}'", f"token={token}\n"):
        kinds = [span.kind for span in find(whole)]
        assert kinds == ["API_KEY"], whole


SECRET = "a8Vf31qR7mZ0kTw5Lp9X"
ANNOUNCED = (
    *(
        'api_key = "{}"',
        "API-KEY: {}",
        "apiKey: '{}',",
        'const clientSecret = "{}";',
        "export AWS_SECRET_ACCESS_KEY={}",
    ),
    *('{{"access_token": "{}"}}', "auth_token := `{}`", "<dbToken>\n  {}\n</dbToken>", 'set("DB_TOKEN", "{}")'),
    *("Authorization: Bearer {}", "DB_PASSWORD={}", "?token={}&page=2", "secret => '{}'", "credentials: {}", "pwd: {}"),
)


@pytest.mark.parametrize("text", ANNOUNCED)
def test_a_random_value_beside_a_secrets_name_is_found_and_nothing_more(text):
    whole = text.format(SECRET)
    assert [whole[span.start : span.end] for span in find(whole)] == [SECRET]


def test_a_private_key_is_found_from_armour_to_armour():
    key = (
        "-----BEGIN RSA " + "PRIVATE KEY-----\n" + signs(64) + "\n" + signs(64) + "\n-----END RSA " + "PRIVATE KEY-----"
    )
    assert [(span.kind, span.start, span.end) for span in find(f"a {key} b")] == [("PRIVATE_KEY", 2, 2 + len(key))]


def test_a_password_and_a_login_are_credentials():
    for text in ("My password is Tr0ub4dor&3.", "Password: hunter2!", "curl -u admin:s3cr3tpw https://example.org"):
        assert [span.kind for span in find(text)] == ["CREDENTIALS"]


@pytest.mark.parametrize("login", ["ann:'s3cr3tpw9'", 'ann:"s3cr3tpw9"', "ann:s3cr3tpw9"])
def test_a_login_goes_whole_wherever_the_shell_quotes_it(login):
    text = f"curl --user {login} -X PATCH https://example.org"
    assert [(span.kind, text[span.start : span.end]) for span in find(text)] == [("CREDENTIALS", login)]


NO_SECRETS = (
    *(
        'api_key = "YOUR_API_KEY"',
        "api_key = os.environ['API_KEY_2024']",
        "token = get_token(user_id=12345678)",
        "sk-learn",
    ),
    *(
        "key: value",
        "curl -u $LOGIN:'$PASS' https://example.org",
        "max_tokens=4096",
        'public_key = "a8Vf31qR7mZ0kTw5Lp9X"',
        "primary_key=a8Vf31qR7mZ0kTw5Lp9X",
        "password: str",
    ),
    *(
        "monkey = 'a8Vf31qR7mZ0kTw5Lp9X'",
        "token_url = 'https://example.org/oauth2/v1'",
        "secret_name: prod-db-2024-credentials",
    ),
    *(
        "test_should_return_404_when_user_is_not_found",
        "hf_hub_download",
        "tokenizer = AutoTokenizer.from_pretrained('x1')",
    ),
    *(
        "the key to success in 2024: practice",
        "keyboard: qwerty-104-keys-2020",
        "password = input('8 signs: ')",
        "xoxb-xxxxxxxxxxxxxxx",
    ),
    *(
        "api_key = 'xxxxxxxxxxxxxxxxxxxx1'",
        "secret = 'example-secret-1234'",
        "auth = OAuth2Session(client)",
        "ghp_" + "x" * 36,
    ),
    *(
        "commit 9fceb02d0ae598e95dc970b74767f19372d61af8",
        "sha256 of the file",
        "uuid 123e4567-e89b-12d3-a456-426614174000",
    ),
    *(
        "data:image/png;base64,iVBORw0KGgo",
        "https://example.org/a/b/c?page=10&size=20",
        "metadata[key1]=value1",
        "import OAuth1, OAuth2Session",
    ),
)


@pytest.mark.parametrize("text", NO_SECRETS)
def test_what_is_no_secret_is_left(text):
    assert find(text) == []
